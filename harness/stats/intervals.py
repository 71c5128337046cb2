"""Intervals of a mean over clustered pairs: CRV3 with t(G - 1), vectorised over features.

The cluster jackknife of MacKinnon, Nielsen and Webb (2023); the same as statsmodels'
`cov_type="cluster-crv3"` for a regression on a constant.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.stats.arguments import check_share, dense_rows
from harness.stats.unit_scores import sum_by_unit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanInterval:
    """Means over pairs, their standard errors and intervals, (n_features,) each, in the data's unit."""

    mean: Floats
    error: Floats
    low: Floats
    high: Floats
    n_units: int


def mean_interval(
    differences: ArrayLike, units: ArrayLike | None, *, level: float = 0.95
) -> MeanInterval:
    """The mean over pairs, with an interval that takes the units for independent, not the pairs.

    Arguments:
        differences: (n_pairs, n_features), dense or scipy sparse, or (n_pairs,) of one feature.
        units: the unit of each pair, (n_pairs,), at least two; each pair its own where None.
        level: the coverage of the interval, in (0, 1).

    Returns:
        `MeanInterval`: the CRV3 standard error, a jackknife over units, and mean +- its product with
        the quantile of t(n_units - 1).

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    The estimator is that of MacKinnon, Nielsen and Webb (2023).
    """
    rows = dense_rows("differences", differences)
    check_share("level", level)
    sums = sum_by_unit(rows, units)
    sizes = sum_by_unit(np.ones((len(rows), 1)), units)
    groups = len(sums)
    mean = rows.mean(axis=0)
    without = (sums.sum(axis=0) - sums) / (len(rows) - sizes)
    error = np.sqrt((groups - 1) / groups * np.square(without - mean).sum(axis=0))
    reach = stats.t.ppf((1 + level) / 2, groups - 1) * error
    return MeanInterval(mean, error, mean - reach, mean + reach, groups)
