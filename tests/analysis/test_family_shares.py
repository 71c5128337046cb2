"""How many families lie as claimed, and how sure that share is."""

from math import comb

import numpy as np
import pytest
import scipy.stats

from harness.analysis.family_shares import family_share, share_interval
from harness.analysis.mean_verdicts import Bound, judge_mean
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict


def at_least(k, n, share):
    return sum(comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("n", [1, 2, 6, 11, 20])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_of_the_shares_that_neither_tail_rejects(n, level):
    tail = (1 - level) / 2
    for k in range(n + 1):
        low, high = share_interval(k, n, level)
        seen = scipy.stats.binomtest(k, n).proportion_ci(level)
        assert (low, high) == pytest.approx((seen.low, seen.high), abs=1e-12)
        assert (low == 0) == (k == 0)
        assert (high == 1) == (k == n)
        if k:
            assert at_least(k, n, low) == pytest.approx(tail, abs=1e-9)
        if k < n:
            assert 1 - at_least(k + 1, n, high) == pytest.approx(tail, abs=1e-9)


def test_it_covers_its_level_whatever_the_share():
    for share in (0.02, 0.3, 0.5, 0.77):
        ends = [share_interval(k, 12, 0.95) for k in range(13)]
        chance = [comb(12, k) * share**k * (1 - share) ** (12 - k) for k in range(13)]
        covered = [p for p, (low, high) in zip(chance, ends, strict=True) if low <= share <= high]
        assert sum(covered) >= 0.95


UNITS = np.repeat(["a", "b", "c", "d"], 3)
MEANS = np.repeat([2.0, 0.5, -1.0, 0.0], 3) + np.tile([0.3, -0.1, -0.2], 4)


@pytest.mark.parametrize(
    "than, within, direction, expected",
    [(0, None, 1, 2), (0, None, -1, 1), (1, None, -1, 3), (0, 1.0, 0, 3), (1, 1.0, 0, 3), (9, 1.0, 0, 0)],
)  # fmt: skip
def test_a_family_counts_by_its_own_mean(than, within, direction, expected):
    values = np.round(MEANS * 10)  # sums of whole numbers: a mean of 0 is exactly 0
    found = family_share(
        values, Units.by_family(UNITS), than * 10, within and within * 10, direction, 0.95
    )
    assert (found.n_toward, found.n) == (expected, 4)
    order = np.random.default_rng(0).permutation(12)
    again = family_share(
        values[order],
        Units.by_family(UNITS[order]),
        than * 10,
        within and within * 10,
        direction,
        0.95,
    )
    assert again == found


@pytest.mark.parametrize("values, units", [([], []), ([1.0, np.nan], ["a", "b"])])
def test_of_nothing_and_of_what_is_missing_there_is_no_share(values, units):
    assert family_share(np.array(values), Units.by_family(units), 0, None, 1, 0.95) is None


@pytest.mark.parametrize("direction, expected", [(1, "18 of 20"), (-1, "2 of 20")])
def test_a_verdict_on_a_mean_says_how_many_families_are_with_it(direction, expected):
    values = np.array([1.0] * 18 + [-0.1, -0.2]) + np.linspace(0, 0.05, 20)
    units = np.array([f"f{i:02}" for i in range(20)])
    blank = Verdict("c", "behaviour", "nats")
    found = judge_mean(blank, values, Units.by_family(units), Bound(0.0, None), direction, 0.05)
    share = "[68%, 99%]" if direction == 1 else "[1%, 32%]"
    assert found.because == f"{expected} families {share}"
    assert found.verdict == ("supported" if direction == 1 else "refuted")
    seen = scipy.stats.binomtest(found.n_toward, 20).proportion_ci(0.95)
    assert (found.share_low, found.share_high) == pytest.approx((seen.low, seen.high))


def test_a_margin_counts_the_families_inside_it_and_few_families_are_counted_too():
    values = np.array([0.2, -0.1, 0.3, 0.1, -0.3, 0.2, 0.6, -0.2])
    units = np.array(list("abcdefgh"))
    blank = Verdict("c", "behaviour", "nats")
    found = judge_mean(blank, values, Units.by_family(units), Bound(0.0, 0.5), 0, 0.05)
    assert found.because.startswith("7 of 8 families [47%, 100%], margin 0.5, 90% interval")
    few = judge_mean(blank, values[:4], Units.by_family(units[:4]), Bound(0.0, 0.5), 0, 0.05)
    assert (few.verdict, few.n_toward) == ("untestable", 4)
    assert few.because == "4 families can give no p below 0.125"
