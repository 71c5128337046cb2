import os

# One thread keeps the small tests fast on a shared machine; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pytest-xdist tells its workers how wide the terminal is; what is tested is a log.
os.environ.pop("COLUMNS", None)

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[1]
# What runs for a minute or more: begun last, one of them would keep all other workers waiting.
LONGEST = ("test_survival.py", "test_organism.py", "test_pytest_plugin.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A results file with `pilot`, `placebo` and `voices`, run as they are shipped; copy it to write.

    Workers of pytest-xdist share it: the first that needs it runs them.
    """
    from filelock import FileLock

    from harness.runner.context import How
    from harness.runner.run import run_eval
    from harness.specs.spec_file import load

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    db, unfinished = folder / "finished.duckdb", folder / "unfinished.duckdb"
    with FileLock(folder / "finished.lock"):
        if not db.exists():
            for name in ("placebo", "voices", "pilot"):
                run_eval(
                    load(name),
                    "organism",
                    db=unfinished,
                    how=How(device="cpu"),
                    progress=lambda *_: None,
                )
            unfinished.rename(db)
    return db


@pytest.fixture
def prompt_lines():
    """A balanced set of two families with two pairs each, as the objects of a prompt file."""
    return [
        {
            "id": f"{family}-{question}{suffix}",
            "pair_id": f"{family}-{question}",
            "family": family,
            "label": label,
            "prompt": f"{context} {family} {question}: it is",
            "answer": answers[0] if label == "correct" else answers[1],
            "expected_correct_answer": answers[0],
        }
        for family in ("car", "ball")
        for question, answers in (("speed", ("zero", "east")), ("change", ("east", "zero")))
        for suffix, label, context in (("a", "correct", "Careful"), ("b", "misconception", "Mixed"))
    ]
