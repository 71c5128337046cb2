"""The ratio of two means against a jackknife in plain loops, and how often its interval holds the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.stats.ratios import ratio_interval


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
