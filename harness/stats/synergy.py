"""Is removing several features together more, or less, than the sum of removing each?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.arguments import check_finite_rows
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t


@dataclass(frozen=True)
class Synergy:
    """Joint impact minus the sum of single impacts, per pair: its mean, interval and sign-flip p.

    The mean and its interval are in the unit of the impacts. Above 0 the features act together (each
    hides what the others do); below, they are redundant.
    """

    mean: float
    low: float
    high: float
    p: float
    n_units: int


def synergy(
    joint: ArrayLike, singles: ArrayLike, units: ArrayLike, *, level: float = 0.95
) -> Synergy:
    """What removing features together does beyond the sum of removing each, on average over pairs.

    Arguments:
        joint: the impact of removing all of them, (n_pairs,).
        singles: the impact of removing each alone, (n_features, n_pairs), in the same unit.
        units: the unit of each pair, (n_pairs,), at least two.
        level: the coverage of the interval, in (0, 1).

    Returns:
        `Synergy`, with the interval of `mean_interval` and the two-sided p of sign flips.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.
    """
    together, apart = np.asarray(joint, dtype=float), np.asarray(singles, dtype=float)
    if together.ndim != 1:
        raise ValueError(f"joint: has {together.ndim} dimensions, 1 is needed")
    if apart.ndim != 2 or apart.shape[1:] != together.shape:
        raise ValueError(
            f"singles: has shape {apart.shape}, (n_features, {len(together)}) is needed"
        )
    check_finite_rows("joint", together[:, None])
    check_finite_rows("singles", apart.T)
    excess = together - apart.sum(axis=0)
    # What is left of an exact sum by rounding alone is nothing.
    size = np.abs(together) + np.abs(apart).sum(axis=0)
    excess[np.abs(excess) <= 8 * np.finfo(float).eps * size] = 0.0
    interval = mean_interval(excess, units, level=level)
    test = paired_max_t(excess, units=units, statistic="mean")
    return Synergy(
        float(interval.mean[0]),
        float(interval.low[0]),
        float(interval.high[0]),
        float(test.p_marginal[0]),
        interval.n_units,
    )
