"""Verdicts in terminals of any width."""

import io
import re

import pytest

from harness.reports.terminal.progress import console
from harness.reports.terminal.verdicts import print_verdicts
from tests.helpers.outcomes import an_outcome


@pytest.mark.parametrize("width", [40, 60, 80])
def test_verdicts_are_readable_in_a_narrow_terminal(width):
    """No word is cut, and no column has the width of a letter."""
    out = io.StringIO()
    print_verdicts(console(out, width=width), [an_outcome()])
    lines = out.getvalue().splitlines()
    assert "moved" in lines
    assert "few" in lines
    where = lines.index("moved")
    if width >= 60:
        assert lines[where + 1 : where + 3] == [
            "  supported  +1.500 nats  [+1.000, +2.000]  p 0.031",
            "  6 families",
        ]
    words = " ".join(" ".join(lines).split())
    assert "supported +1.500 nats [+1.000, +2.000] p 0.031 6 families" in words
    assert "untestable 3 families can give no p below 0.25" in words


def test_verdicts_are_a_table_where_there_is_room():
    out = io.StringIO()
    print_verdicts(console(out, width=100), [an_outcome()])
    assert re.search(r"\nclaim +verdict +estimate +interval +p +rests on", out.getvalue())
