"""Statistics of resamples: those of the pairs that each resample has, copied one by one."""

import numpy as np
import pytest
from scipy import stats

from harness.stats.max_t import paired_statistic
from harness.stats.resampled_statistics import resampled_statistic, resampled_totals

STATISTICS = ("mean", "signed-rank", "mcnemar", "pratt+mcnemar")
SIZES = (3, 1, 2, 4, 2)  # pairs of each unit


def data(seed, features=12):
    """Values with zeros and many ties, the units' names out of order, and resamples of them."""
    random = np.random.default_rng(seed)
    units = np.repeat(["e", "b", "d", "a", "c"], SIZES)
    x, y = random.integers(0, 4, (2, len(units), features)).astype(float)
    weights = random.multinomial(5, [0.2] * 5, size=7)
    weights[0] = 1
    return x, y, units, weights


def u_of(unit_sums):
    """The sum over units, divided by the root of the sum of squares."""
    squares = sum(s * s for s in unit_sums)
    return sum(unit_sums) / squares**0.5 if squares else 0.0


def slow(x, y, units, weights, statistic):
    """One feature of one resample: a list of copies of units, each with the scores of its pairs."""
    copies = [
        [(a, b) for a, b, unit in zip(x, y, units, strict=True) if unit == name]
        for name, times in zip(sorted(set(units)), weights, strict=True)
        for _ in range(times)
    ]
    differences = [a - b for copy in copies for a, b in copy]
    ranks = iter(stats.rankdata(np.abs(differences)) * np.sign(differences))
    by = {
        "mean": [sum(a - b for a, b in copy) for copy in copies],
        "signed-rank": [sum(next(ranks) for _ in copy) for copy in copies],
        "mcnemar": [sum((a > 0) - (b > 0) for a, b in copy) for copy in copies],
    }
    if statistic == "pratt+mcnemar":
        return max(u_of(by["signed-rank"]), u_of(by["mcnemar"]), key=abs)
    return u_of(by[statistic])


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("seed", range(4))
def test_a_resample_s_statistic_is_that_of_its_copied_pairs(statistic, seed):
    x, y, units, weights = data(seed)
    found = resampled_statistic(x, y, units, weights, statistic=statistic)
    wanted = [
        [
            slow(a.tolist(), b.tolist(), units.tolist(), row, statistic)
            for a, b in zip(x.T, y.T, strict=True)
        ]
        for row in weights
    ]
    assert found == pytest.approx(np.array(wanted), abs=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_with_each_unit_once_it_is_the_statistic_that_is_tested(statistic):
    x, y, units, weights = data(9, features=1500)  # of more than a block
    found = resampled_statistic(x, y, units, weights, statistic=statistic)
    tested = paired_statistic(x, y, units, statistic=statistic)
    assert found[0] == pytest.approx(tested, abs=1e-12)


def test_squares_of_large_and_of_small_values_stay_in_range():
    x, y, units, weights = data(2)
    plain = resampled_statistic(x, y, units, weights, statistic="mean")
    for scale in (1e-200, 1e200):
        scaled = resampled_statistic(scale * x, scale * y, units, weights, statistic="mean")
        assert scaled == pytest.approx(plain)


def test_features_of_the_same_values_have_the_very_same_numbers():
    """Which a product of matrices does not give: a tie would then be broken by rounding."""
    random = np.random.default_rng(0)
    sums = np.repeat(random.normal(size=(1, 37)), 101, axis=0)
    weights = random.multinomial(37, [1 / 37] * 37, size=33)
    assert (np.ptp(resampled_totals(sums, weights), axis=1) == 0).all()
    assert resampled_totals(sums, weights)[:, 0] == pytest.approx(weights @ sums[0])


def test_wrong_arguments_are_named():
    x, y, units, weights = data(1)
    with pytest.raises(ValueError, match="statistic: unknown 'median'"):
        resampled_statistic(x, y, units, weights, statistic="median")
    with pytest.raises(ValueError, match="weights: shape"):
        resampled_statistic(x, y, units, weights[:, :3], statistic="mean")
