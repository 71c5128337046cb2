"""Is removing several features together more, or less, than the sum of removing each?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.arguments import check_share, dense_features, real_array, vector
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t
from harness.stats.scaling import SUMS, exponents, rescale
from harness.stats.unit_scores import sum_by_unit


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
    level = check_share("level", level)
    together = dense_features("joint", vector("joint", joint))
    apart = real_array("singles", singles)
    if apart.ndim != 2 or apart.shape[1:] != together.shape[1:]:
        raise ValueError(
            f"singles: has shape {apart.shape}, (n_features, {together.shape[1]}) is needed"
        )
    # One column a pair: what is done together, and against it what is done apart.
    parts = np.vstack([together, -dense_features("singles", apart.T)])
    power = SUMS - exponents(parts.reshape(1, -1))
    parts = np.ldexp(parts, power)
    excess = sum_by_unit(parts.T, np.zeros(len(parts), np.intp), 1).T
    # What is left of an exact sum by rounding alone is nothing.
    size = np.abs(parts).sum(axis=0)
    excess[np.abs(excess) <= 8 * np.finfo(float).eps * size] = 0.0
    interval = mean_interval(excess[0], units, level=level)
    test = paired_max_t(excess[0], units=units, statistic="mean")
    mean, low, high = (
        float(rescale(end, -power)[0]) for end in (interval.mean, interval.low, interval.high)
    )
    return Synergy(
        mean,
        low,
        high,
        float(test.p_marginal[0]),
        interval.n_units,
    )
