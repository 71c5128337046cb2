import os

# One thread keeps the small tests fast on a shared machine; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


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
