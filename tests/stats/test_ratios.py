"""The ratio of two means against a jackknife in plain loops, and how often its interval holds the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.stats.ratios import ratio_interval, two_sample_ratio


def slow(above, below, units, level):
    """The ratio, its jackknife error and its interval, a family at a time."""

    def ratio(left_out):
        kept = [i for i, unit in enumerate(units) if unit != left_out]
        return sum(above[i] for i in kept) / sum(below[i] for i in kept)

    names = sorted(set(units))
    whole = ratio(None)
    squares = sum((ratio(name) - whole) ** 2 for name in names)
    error = math.sqrt(squares * (len(names) - 1) / len(names))
    reach = stats.t.ppf(0.5 + level / 2, len(names) - 1) * error
    return whole, error, whole - reach, whole + reach


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_the_jackknife_over_units(level):
    random = np.random.default_rng(0)
    units = [f"f{i}" for i in random.integers(0, 7, 40)]
    below = random.normal(5, 1, 40)
    above = 0.4 * below + random.normal(0, 1, 40)
    found = ratio_interval(above, below, units, level=level)
    wanted = slow(above.tolist(), below.tolist(), units, level)
    np.testing.assert_allclose(
        (found.ratio, found.error, found.low, found.high), wanted, rtol=1e-12
    )
    assert found.n_units == len(set(units))


def test_over_families_of_one_size_it_is_the_ratio_of_their_means_and_both_scale():
    below = np.array([4.0, 4.0, 6.0, 6.0, 5.0, 5.0])
    found = ratio_interval(below / 4, below, list("aabbcc"))
    assert (found.ratio, found.error) == (0.25, 0.0)
    turned = ratio_interval(-3 * below, -below, list("aabbcc"))
    assert turned.ratio == 3.0


def test_a_denominator_of_nothing_has_no_ratio():
    found = ratio_interval([1.0, 2.0, 3.0], [1.0, -1.0, 0.0], list("abc"))
    assert math.isnan(found.ratio)
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    "above, below, units, what",
    [
        ([1.0, 2.0], [1.0], ["a", "b"], "denominator: has 1 pairs"),
        ([1.0, math.nan], [1.0, 1.0], ["a", "b"], "numerator"),
        ([1.0, 2.0], [1.0, 1.0], ["a", "a"], "units: 1 unit"),
    ],
)
def test_what_is_wrong_is_named(above, below, units, what):
    with pytest.raises(ValueError, match=what):
        ratio_interval(above, below, units)


def slow_two(above, above_units, below, below_units, against, level):
    """Each sample's own jackknife in plain loops, with the changes of a unit of both added up."""

    def mean(values, units, left_out):
        kept = [v for v, unit in zip(values, units, strict=True) if unit != left_out]
        return sum(kept) / len(kept)

    one, other = mean(above, above_units, None), mean(below, below_units, None)
    of_ratio, of_line = {}, {}
    for name in sorted({*above_units, *below_units}):
        ratio = line = 0.0
        if name in above_units:
            n = len(set(above_units))
            less = mean(above, above_units, name)
            ratio += math.sqrt((n - 1) / n) * (less / other - one / other)
            line += math.sqrt((n - 1) / n) * (less - one)
        if name in below_units:
            n = len(set(below_units))
            less = mean(below, below_units, name)
            ratio += math.sqrt((n - 1) / n) * (one / less - one / other)
            line -= math.sqrt((n - 1) / n) * against * (less - other)
        of_ratio[name], of_line[name] = ratio, line
    error = math.sqrt(sum(x * x for x in of_ratio.values()))
    spread = math.sqrt(sum(x * x for x in of_line.values()))
    degrees = min(len(set(above_units)), len(set(below_units))) - 1
    reach = stats.t.ppf(0.5 + level / 2, degrees) * error
    p = 2 * stats.t.cdf(-abs((one - against * other) / spread), degrees)
    return one / other, error, one / other - reach, one / other + reach, p


@pytest.mark.parametrize("shared", [0, 3, 7])
def test_of_two_samples_it_is_a_jackknife_of_each(shared):
    random = np.random.default_rng(shared)
    below_units = [f"f{i}" for i in random.integers(0, 7, 40)]
    above_units = [f"f{i + 7 - shared}" for i in random.integers(0, 9, 30)]
    below, above = random.normal(5, 1, 40), random.normal(2, 1, 30)
    found = two_sample_ratio(above, above_units, below, below_units, against=0.5, level=0.9)
    wanted = slow_two(above.tolist(), above_units, below.tolist(), below_units, 0.5, 0.9)
    np.testing.assert_allclose(
        (found.ratio, found.error, found.low, found.high, found.p), wanted, rtol=1e-9
    )
    assert found.side == np.sign(above.mean() - 0.5 * below.mean())
    assert found.n_units == min(len(set(above_units)), len(set(below_units)))


def test_families_that_both_samples_share_are_paired():
    """What moves both alike moves no ratio; where they are other families it does."""
    random = np.random.default_rng(1)
    units = [f"f{i}" for i in range(20)]
    below = random.normal(5, 1, 20)
    above = 0.5 * below + random.normal(0, 0.01, 20)
    paired = two_sample_ratio(above, units, below, units, against=0.4)
    apart = two_sample_ratio(above, [f"g{i}" for i in range(20)], below, units, against=0.4)
    assert paired.error < apart.error / 20
    assert (paired.p < 1e-12, apart.p > 1e-6) == (True, True)
    one = ratio_interval(above, below, units)
    assert paired.error == pytest.approx(one.error, rel=0.1)


def test_of_two_samples_a_denominator_of_nothing_has_no_ratio_and_constants_have_no_error():
    nothing = two_sample_ratio([1.0, 2.0], ["a", "b"], [1.0, -1.0], ["c", "d"], against=0.5)
    assert math.isnan(nothing.ratio)
    assert (nothing.low, nothing.high) == (-math.inf, math.inf)
    same = two_sample_ratio([1.0, 1.0], ["a", "b"], [2.0, 2.0], ["c", "d"], against=0.5)
    assert (same.ratio, same.error, same.p, same.side) == (0.5, 0.0, 1.0, 0)
    other = two_sample_ratio([1.0, 1.0], ["a", "b"], [2.0, 2.0], ["c", "d"], against=0.4)
    assert (other.p, other.side) == (0.0, 1)


@pytest.mark.parametrize("families, others", [(20, 20), (8, 30), (10, 10)])
def test_of_two_samples_a_true_ratio_is_called_neither_smaller_nor_larger_too_often(
    families, others
):
    random = np.random.default_rng(2)
    decided = {-1: 0, 1: 0}
    for _ in range(600):
        of_one, of_other = np.repeat(np.arange(families), 4), np.repeat(np.arange(others), 4) + 100
        one = 2.5 + random.normal(0, 1, families)[of_one] + random.normal(0, 1, len(of_one))
        other = 5 + random.normal(0, 1, others)[of_other - 100] + random.normal(0, 1, len(of_other))
        found = two_sample_ratio(one, of_one, other, of_other, against=0.5)
        decided[found.side] += found.p <= 0.05
    assert max(decided.values()) <= 600 * 0.025 + 3 * math.sqrt(600 * 0.025 * 0.975)
    assert sum(decided.values()) > 3


@pytest.mark.parametrize(
    "change, what",
    [
        ({"numerator": [1.0, math.nan]}, "numerator"),
        ({"denominator": [1.0]}, "units"),
        ({"numerator_units": ["a", "a"]}, "units: 1 unit"),
        ({"level": 2}, "level"),
    ],
)
def test_of_two_samples_what_is_wrong_is_named(change, what):
    right = {"numerator": [1.0, 2.0], "numerator_units": ["a", "b"], "denominator": [1.0, 2.0]}
    right |= {"denominator_units": ["c", "d"], "against": 0.5}
    with pytest.raises(ValueError, match=what):
        two_sample_ratio(**(right | change))
