"""Intervals of the mean of bounded values, by betting: they hold with any number of units and any skew.

Against each candidate mean m a gambler bets on the values, one after the other, in either direction, at
stakes that depend on the earlier values alone. Where m is the mean the capital is a nonnegative
martingale, which reaches 1 / alpha with probability alpha at most (Ville 1939): an m at which it does is
left out. This is the hedged capital of Waudby-Smith and Ramdas (2024), with the stakes that they propose
for a sample of a known size.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import check_finite, check_share, unit_codes, vector
from harness.stats.unit_scores import sum_by_unit

Floats = NDArray[np.float64]
MOST = 0.5  # of what can be lost, the largest share that is staked at once
HALVINGS = 50  # of the range in which an end lies


def bounded_mean_interval(
    values: ArrayLike,
    low: float,
    high: float,
    units: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval of the mean over units of values that lie between `low` and `high`.

    Arguments:
        values: (n,), such as probabilities, flips or hits.
        low: the smallest value that is possible, in the values' unit.
        high: the largest, above `low`.
        units: the unit of each value, (n,), of which at least one; each value its own where None. Units count
            alike, however many values they have.
        level: the coverage of the interval, in (0, 1).

    Returns:
        Its ends, in the values' unit. The bets are made in the order of the units' names.

    Raises:
        ValueError: naming the argument that is wrong.

    Exact where the units are independent and of one mean, whatever their distribution is.
    """
    given = vector("values", values)
    low, high = check_finite("low", low), check_finite("high", high)
    level = check_share("level", level)
    if not low < high:
        raise ValueError(f"high: {high} is not above low, {low}")
    inside = (given >= low) & (given <= high)
    if not inside.all():
        place = int(np.argmin(inside))
        raise ValueError(f"values: {given[place]} at {place} is not between {low} and {high}")
    codes, n_units = unit_codes(units, len(given), at_least=1)
    means = sum_by_unit(given[None], codes, n_units)[0] / np.bincount(codes)
    scaled = np.clip((means - low) / (high - low), 0.0, 1.0)
    least, most = _ends(scaled, 1 - level)
    return low + (high - low) * least, low + (high - low) * most


def _ends(x: Floats, alpha: float) -> tuple[float, float]:
    """The smallest and the largest mean of values (n,) in [0, 1] that no bet rules out."""
    stakes = _stakes(x, alpha)
    lowest = _least_kept(x, stakes, alpha)
    highest = 1 - _least_kept(1 - x, stakes, alpha)
    # Where both sides win, nothing is kept: what lies between them is told.
    return min(lowest, highest), max(lowest, highest)


def _stakes(x: Floats, alpha: float) -> Floats:
    """The stake of each bet, (n,), from the values before it: the smaller, the more these spread."""
    before = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (before + 1)
    spread = (0.25 + np.cumsum((x - mean) ** 2)) / (before + 1)
    earlier = np.r_[0.25, spread[:-1]]
    return np.asarray(np.sqrt(2 * np.log(2 / alpha) / (len(x) * earlier)))


def _least_kept(x: Floats, stakes: Floats, alpha: float) -> float:
    """The smallest mean that bets on larger values do not rule out: their capital falls as it grows."""
    out, kept = 0.0, 1.0
    if not _wins(x, stakes, out, alpha):
        return out
    for _ in range(HALVINGS):
        middle = (out + kept) / 2
        out, kept = (middle, kept) if _wins(x, stakes, middle, alpha) else (out, middle)
    return out


def _wins(x: Floats, stakes: Floats, mean: float, alpha: float) -> bool:
    """Whether half a unit, staked on values above `mean`, becomes 1 / alpha after some bet."""
    staked = np.minimum(stakes, MOST / mean) if mean else stakes
    capital = np.cumsum(np.log1p(staked * (x - mean)))
    return bool(capital.max() >= np.log(2 / alpha))
