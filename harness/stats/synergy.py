"""Is removing several features together more, or less, than the sum of removing each?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.arguments import finite
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t


@dataclass(frozen=True)
class Synergy:
    """Joint impact minus the sum of single impacts, per pair: its mean, interval and sign-flip p.

    Above 0 the features act together (each hides what the others do); below, they are redundant.
    """

    mean: float
    low: float
    high: float
    p: float
    n_units: int


def synergy(
    joint: ArrayLike, singles: ArrayLike, units: ArrayLike, *, level: float = 0.95
) -> Synergy:
    """`joint` (n_pairs,) against `singles` (n_features, n_pairs), clustered by `units` (n_pairs,)."""
    together, apart = np.asarray(joint, dtype=float), np.asarray(singles, dtype=float)
    if together.ndim != 1:
        raise ValueError(f"joint: has {together.ndim} dimensions, 1 is needed")
    if apart.ndim != 2 or apart.shape[1:] != together.shape:
        raise ValueError(
            f"singles: has shape {apart.shape}, (n_features, {len(together)}) is needed"
        )
    finite("joint", together[:, None])
    finite("singles", apart.T)
    excess = together - apart.sum(axis=0)
    # What is left of an exact sum by rounding alone is nothing.
    size = np.abs(together) + np.abs(apart).sum(axis=0)
    excess[np.abs(excess) <= 8 * np.finfo(float).eps * size] = 0.0
    found = mean_interval(excess, units, level=level)
    test = paired_max_t(excess, units=units, statistic="mean")
    return Synergy(
        float(found.mean[0]),
        float(found.low[0]),
        float(found.high[0]),
        float(test.p_marginal[0]),
        found.n_units,
    )
