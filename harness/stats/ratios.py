"""The ratio of two means over clustered pairs, with a jackknife over the units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.stats.arguments import check_share, dense_features, unit_codes, vector
from harness.stats.intervals import mean_of


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
