"""The ratio of two means over clustered pairs, of one sample or of two, with a jackknife over the units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.stats.arguments import check_share, dense_features, unit_codes, vector
from harness.stats.intervals import mean_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A ratio of means, its standard error and interval; see `ratio_interval`."""

    ratio: float
    error: float
    low: float
    high: float
    n_units: int


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, units: ArrayLike, *, level: float = 0.95
) -> Ratio:
    """The mean of one quantity divided by that of another, with an interval that takes units for independent.

    Arguments:
        numerator, denominator: both quantities of each pair, (n_pairs,), in one unit.
        units: the unit of each pair, (n_pairs,), at least two.
        level: the coverage of the interval, in (0, 1).

    Returns:
        `Ratio`: mean(numerator) / mean(denominator), its delete-one-unit jackknife standard error about
        the ratio itself, and the ratio +- its product with the quantile of t(n_units - 1). NaN with
        infinite ends where the denominator's mean is 0, with all units or without one.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    The jackknife of a ratio is Quenouille's (1956); its error over units is that of CRV3. The interval is
    poor where the denominator's own interval comes near 0: see Fieller (1954) for what is exact there.
    """
    level = check_share("level", level)
    above = dense_features("numerator", vector("numerator", numerator))
    below = dense_features("denominator", vector("denominator", denominator))
    if above.shape != below.shape:
        raise ValueError(
            f"denominator: has {below.shape[1]} pairs, {above.shape[1]} of the numerator are needed"
        )
    codes, n_units = unit_codes(units, above.shape[1])
    both = np.vstack([above, below])
    means = mean_of(both)
    without = np.array([mean_of(both[:, codes != unit]) for unit in range(n_units)])
    if means[1] == 0 or (without[:, 1] == 0).any():
        return Ratio(np.nan, np.inf, -np.inf, np.inf, n_units)
    ratio = float(means[0] / means[1])
    away = without[:, 0] / without[:, 1] - ratio
    error = float(np.sqrt((n_units - 1) / n_units * np.square(away).sum()))
    reach = float(stats.t.ppf((1 + level) / 2, n_units - 1)) * error
    return Ratio(ratio, error, ratio - reach, ratio + reach, n_units)


@dataclass(frozen=True)
class TwoSampleRatio(Ratio):
    """A ratio of means of two samples, and the `p` and sign (`side`) of its test; see `two_sample_ratio`."""

    p: float
    side: int


def two_sample_ratio(
    numerator: ArrayLike,
    numerator_units: ArrayLike,
    denominator: ArrayLike,
    denominator_units: ArrayLike,
    *,
    against: float,
    level: float = 0.95,
) -> TwoSampleRatio:
    """The mean of one sample divided by that of another, and whether that is `against`.

    Arguments:
        numerator, denominator: a quantity of the pairs of each sample, (n,) and (m,), in one unit.
        numerator_units, denominator_units: the unit of each pair, at least two in each sample. A name that
            is in both is one unit, which both samples share.
        against: the ratio that the test asks about.
        level: the coverage of the interval, in (0, 1).

    Returns:
        `TwoSampleRatio`: mean(numerator) / mean(denominator), with a jackknife over the units of each
        sample; `n_units` is that of the smaller one, by which the t quantile has its degrees of freedom.
        `p` is that of the two-sided test of mean(numerator) - against * mean(denominator) = 0, and `side` its
        sign: where the denominator is positive, whether the ratio is above. NaN with infinite ends
        where the denominator's mean is 0, with all units or without one.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    That a ratio is a value is tested as Fieller (1954) does; each sample's error is its CRV3, and what a
    unit that is in both does to either sample is added before it is squared.
    """
    level = check_share("level", level)
    above, changes_above, units_above = _without_each("numerator", numerator, numerator_units)
    below, changes_below, units_below = _without_each("denominator", denominator, denominator_units)
    units = (units_above, units_below)
    n_units = min(map(len, units))
    difference = above - against * below

    def error_of(change_above: Floats, change_below: Floats) -> float:
        by_unit: dict[object, float] = {}
        for names, changes in zip(units, (change_above, change_below), strict=True):
            scale = np.sqrt((len(names) - 1) / len(names))
            for name, change in zip(names, changes, strict=True):
                by_unit[name] = by_unit.get(name, 0.0) + scale * float(change)
        return float(np.sqrt(sum(change**2 for change in by_unit.values())))

    error = error_of(changes_above, -against * changes_below)
    distance = abs(difference) / error if error else np.inf if difference else 0.0
    p = float(2 * stats.t.sf(distance, n_units - 1))
    side = int(np.sign(difference))
    if below == 0 or (below + changes_below == 0).any():
        return TwoSampleRatio(np.nan, np.inf, -np.inf, np.inf, n_units, p, side)
    ratio = above / below
    error = error_of(changes_above / below, above / (below + changes_below) - ratio)
    reach = float(stats.t.ppf((1 + level) / 2, n_units - 1)) * error
    return TwoSampleRatio(ratio, error, ratio - reach, ratio + reach, n_units, p, side)


def _without_each(
    name: str, values: ArrayLike, units: ArrayLike
) -> tuple[float, Floats, list[object]]:
    """A sample's mean, what leaving out each unit adds to it, (n_units,), and the units in that order."""
    given = dense_features(name, vector(name, values))
    codes, n_units = unit_codes(units, given.shape[1])
    mean = float(mean_of(given)[0])
    changes = [float(mean_of(given[:, codes != unit])[0]) - mean for unit in range(n_units)]
    labels = np.asarray(units).tolist()
    names = [labels[int(np.argmax(codes == unit))] for unit in range(n_units)]
    return mean, np.array(changes), names
