"""The quick slice of the benchmark of parts: both ways have the same answers, and every figure is shown."""

import pytest

from benchmarks.parts import ASKED, check_equal, compare
from benchmarks.store import Run


def test_every_query_is_timed_both_ways_on_the_same_rows(tmp_path, figures):
    compare(tmp_path, [Run(number, families=2) for number in range(3)], rounds=1)
    shown = figures()
    assert len(shown) == len(ASKED) + 2
    assert all(one["value"] > 0 for one in shown.values())


def test_other_answers_are_no_figure():
    check_equal("it", [("a", 1.0)], [("a", 1.0 + 1e-12)])
    for ours, theirs in (
        ([], []),
        ([("a", 1.0)], [("a", 1.1)]),
        ([("a",)], [("b",)]),
        ([(1,)], []),
    ):
        with pytest.raises(AssertionError, match="it has another answer"):
            check_equal("it", ours, theirs)
