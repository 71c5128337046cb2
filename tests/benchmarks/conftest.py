import json
import math
from collections.abc import Callable

import pytest

Figures = dict[str, dict]
KEYS = ["figure", "value", "unit", "bar", "holds"]


def read_figure(line: str) -> dict:
    """A line of JSON as its reader gets it: the keys of every figure, and numbers that are finite."""
    shown = json.loads(line)
    assert list(shown)[: len(KEYS)] == KEYS
    assert math.isfinite(shown["value"])
    assert math.isfinite(shown["bar"])
    assert isinstance(shown["holds"], bool)
    return shown


@pytest.fixture
def figures(capsys) -> Callable[[], Figures]:
    """The figures that have been printed since it was last called, by name."""

    def read() -> Figures:
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        shown = {figure["figure"]: figure for figure in map(read_figure, lines)}
        assert len(shown) == len(lines)
        return shown

    return read
