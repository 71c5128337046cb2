"""Verdicts in terminals of any width."""

import io
import re

import pytest

from harness.analysis.verdict import Verdict
from harness.reports.terminal.failure import failure_text
from harness.reports.terminal.progress import console
from harness.reports.terminal.verdicts import print_verdicts
from tests.helpers.outcomes import an_outcome
from tests.helpers.specs import behaviour_spec


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


def test_a_claim_by_clusters_says_how_many_of_them_it_needs():
    claim = {"name": "c", "features": "significant", "at_most": 0, "margin": 0.5}
    spec = behaviour_spec(claims=(claim,), cluster="principle")
    verdict = Verdict("c", "features", "features", because="3 principles", n_units=3, floor=0.25)
    text = failure_text(spec, spec.claims[0], verdict, an_outcome())
    assert "3 principles; it needs 6 principles on the confirming side; add families of" in text
    assert "by less than 0.5 standard deviations of the principles" in text
