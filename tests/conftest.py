import os

# One thread keeps the small tests fast on a shared machine; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pytest-xdist tells its workers how wide the terminal is; what is tested is a log.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")  # readline, which pytest imports, sets it for processes that are begun

# Nobody's own targets are tested, or in the way.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"

from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import ROOT

# On a busy machine every example takes longer: how long is measured in `benchmarks/`.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["pytester"]
# What runs for a minute or more: begun last, one of them would keep all other workers waiting.
# The first of them makes the runs that most others wait for.
LONGEST = (
    "project/test_organism.py",
    "runner/test_run.py",
    "runner/test_survival.py",
    "pytest_plugin/test_items.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST[0]))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A results file with `pilot`, `placebo` and `voices`, run as they are shipped; copy it to write."""
    from harness.runner.registration import register_specs
    from harness.specs.spec_file import load
    from tests.helpers.runs import made_once, run_on_organism

    def make(folder, db):
        names = ("placebo", "voices", "pilot")
        register_specs([load(name) for name in names], "organism", db=db)
        for name in names:
            run_on_organism(name, db)

    return made_once(tmp_path_factory, "finished.duckdb", make)


@pytest.fixture(scope="session")
def few(tmp_path_factory) -> tuple[Path, str]:
    """A results file with one small run, of a spec `few` with two ablations, and the run's id.

    Copy it to write.
    """
    from tests.helpers.runs import made_once, run_on_organism
    from tests.helpers.specs import write_few
    from tests.helpers.store import query

    db = made_once(
        tmp_path_factory, "few.duckdb", lambda folder, db: run_on_organism(write_few(folder), db)
    )
    ((run_id,),) = query(db, "SELECT run_id FROM runs")
    return db, run_id


@pytest.fixture(scope="session")
def two_dtypes(tmp_path_factory) -> tuple[Path, str, str]:
    """A results file with `few` in float32, then in bfloat16, and the runs' ids.

    The files of the spec are gone since. Copy it to write.
    """
    from tests.helpers.runs import made_once, run_on_organism
    from tests.helpers.specs import write_few
    from tests.helpers.store import query

    def make(folder, db):
        spec = write_few(folder)
        run_on_organism(spec, db)
        run_on_organism(spec, db, dtype="bfloat16")
        for file in (spec, folder / "few.jsonl"):
            file.unlink()

    db = made_once(tmp_path_factory, "two_dtypes.duckdb", make)
    (first,), (second,) = query(db, "SELECT run_id FROM runs ORDER BY created_at")
    return db, first, second


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their pictures, for what is said in words: drawing takes seconds."""
    from markupsafe import Markup

    from harness.reports.html.svg import ChartRenderer, RenderedChart

    monkeypatch.setattr(
        ChartRenderer,
        "render",
        lambda _, chart: RenderedChart(Markup(""), Markup("{}"), chart.says),
    )


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
