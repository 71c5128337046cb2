"""What a benchmark prints of a figure is what it holds it against."""

import pytest

from benchmarks.figures import figure, ratio


@pytest.mark.parametrize(
    "value, at_most, holds",
    [(2.0, False, True), (0.5, False, False), (0.5, True, True), (2, True, False)],
)
def test_a_figure_holds_on_its_side_of_the_bar(value, at_most, holds, figures):
    assert figure("times", value, "x", 1.0, at_most=at_most) is holds
    assert figures() == {
        "times": {"figure": "times", "value": value, "unit": "x", "bar": 1.0, "holds": holds}
    }


@pytest.mark.parametrize("at_most", [True, False])
def test_what_is_no_number_does_not_hold(at_most, capsys):
    assert figure("times", float("nan"), "x", 1.0, at_most=at_most) is False
    assert '"holds": false' in capsys.readouterr().out


def test_a_ratio_is_theirs_over_ours(monkeypatch):
    taken = iter([1.0, 4.0, 2.0, 4.0, 1.0, 3.0])  # theirs, ours, in three rounds
    monkeypatch.setattr("benchmarks.figures.seconds", lambda work: next(taken))
    assert ratio(int, int, 3) == pytest.approx(1 / 3)
