"""Intervals of a mean over clustered pairs: CRV3 with t(G - 1), vectorised over features.

The cluster jackknife of MacKinnon, Nielsen and Webb (2023); the same as statsmodels'
`cov_type="cluster-crv3"` for a regression on a constant.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.stats.arguments import dense_rows, share
from harness.stats.unit_scores import sum_by_unit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanInterval:
    """Means over pairs with their standard errors and intervals, (n_features,) each."""

    mean: Floats
    error: Floats
    low: Floats
    high: Floats
    n_units: int


def mean_interval(
    differences: ArrayLike, units: ArrayLike | None, *, level: float = 0.95
) -> MeanInterval:
    """The mean of `differences` (n_pairs, n_features), clustered by `units` (n_pairs,)."""
    rows = dense_rows("differences", differences)
    share("level", level)
    sums = sum_by_unit(rows, units)
    sizes = sum_by_unit(np.ones((len(rows), 1)), units)
    groups = len(sums)
    mean = rows.mean(axis=0)
    without = (sums.sum(axis=0) - sums) / (len(rows) - sizes)
    error = np.sqrt((groups - 1) / groups * np.square(without - mean).sum(axis=0))
    reach = stats.t.ppf((1 + level) / 2, groups - 1) * error
    return MeanInterval(mean, error, mean - reach, mean + reach, groups)
