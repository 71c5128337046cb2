"""How alike what belongs together is: the intraclass correlation of a one-way analysis of variance."""

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.arguments import dense_features, unit_codes, vector


def intraclass_correlation(values: ArrayLike, units: ArrayLike) -> float:
    """The correlation of two values of one unit, estimated by analysis of variance.

    Arguments:
        values: (n,), such as the mean of each family.
        units: the unit of each value, (n,): what they may be alike within, such as its cluster.

    Returns:
        (MSB - MSW) / (MSB + (m - 1) MSW), of the mean squares between and within units, with m the size of a
        unit, adjusted where sizes differ. Below 0 where values of a unit are less alike than those of
        different ones. NaN where no unit has two values, there is one unit, or all values are the same.

    Raises:
        ValueError: naming the argument that is wrong.

    The estimator is Fisher's (1925), for unequal sizes as in Donner (1986).
    """
    given = dense_features("values", vector("values", values))[0]
    codes, k = unit_codes(units, len(given), at_least=1)
    n, sizes = len(given), np.bincount(codes)
    if k < 2 or n == k:
        return float("nan")
    given = given - given[0]  # so that a large mean takes no digits from a small spread
    means = np.bincount(codes, given) / sizes
    between = float((sizes * np.square(means - given.mean())).sum()) / (k - 1)
    within = float(np.square(given - means[codes]).sum()) / (n - k)
    size = (n - float(np.square(sizes).sum()) / n) / (k - 1)
    total = between + (size - 1) * within
    return (between - within) / total if total > 0 else float("nan")
