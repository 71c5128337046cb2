"""Intervals of the mean of bounded values, by betting: they hold with any number of units and any skew.

Against each candidate mean m a gambler bets on the values, one after the other, in either direction, at
stakes that depend on the earlier values alone. Where m is the mean the capital is a nonnegative
martingale, which reaches 1 / alpha with probability alpha at most (Ville 1939): an m at which it does is
left out. This is the hedged capital of Waudby-Smith and Ramdas (2024), with the stakes that they propose
for a sample of a known size.
"""

from dataclasses import dataclass

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
    return bounded_mean(values, low, high, units, alpha=1 - check_share("level", level)).interval(
        level
    )


@dataclass(frozen=True)
class BoundedMean:
    """What bets say of a mean over units. `x` (n_units,) are the units' means, scaled to [0, 1].

    `stakes` (n_units,) were chosen before each bet. `low` and `high` are what 0 and 1 stand for.
    """

    x: Floats
    stakes: Floats
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Over the units, in the values' unit."""
        return self._back(float(self.x.mean()))

    def interval(self, level: float) -> tuple[float, float]:
        """Every mean that neither side's bets rule out: its ends, in the values' unit."""
        needed = float(np.log(2 / (1 - level)))
        lowest = _least_kept(self.x, self.stakes, needed)
        highest = 1 - _least_kept(1 - self.x, self.stakes, needed)
        # Where both sides win, nothing is kept: what lies between them is told.
        return self._back(min(lowest, highest)), self._back(max(lowest, highest))

    def p_above(self, value: float) -> float:
        """Of the claim that the mean lies above a value: 1 over the capital that bets on it reach."""
        return _p(self.x, self.stakes, self._scaled(value))

    def p_below(self, value: float) -> float:
        """Of the claim that it lies below."""
        return _p(1 - self.x, self.stakes, 1 - self._scaled(value))

    def _scaled(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def _back(self, scaled: float) -> float:
        return self.low + (self.high - self.low) * scaled


def bounded_mean(
    values: ArrayLike,
    low: float,
    high: float,
    units: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
) -> BoundedMean:
    """The bets on the mean over units, whose stakes suit an interval of 1 - alpha.

    Arguments and errors as of `bounded_mean_interval`. Whatever the stakes suit, each p and each interval
    holds by itself (Ville 1939).
    """
    given = vector("values", values)
    low, high = check_finite("low", low), check_finite("high", high)
    if not low < high:
        raise ValueError(f"high: {high} is not above low, {low}")
    inside = (given >= low) & (given <= high)
    if not inside.all():
        place = int(np.argmin(inside))
        raise ValueError(f"values: {given[place]} at {place} is not between {low} and {high}")
    codes, n_units = unit_codes(units, len(given), at_least=1)
    means = sum_by_unit(given[None], codes, n_units)[0] / np.bincount(codes)
    scaled = np.clip((means - low) / (high - low), 0.0, 1.0)
    return BoundedMean(scaled, _stakes(scaled, alpha), low, high)


def _stakes(x: Floats, alpha: float) -> Floats:
    """The stake of each bet, (n,), from the values before it: the smaller, the more these spread."""
    before = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (before + 1)
    spread = (0.25 + np.cumsum((x - mean) ** 2)) / (before + 1)
    earlier = np.r_[0.25, spread[:-1]]
    return np.asarray(np.sqrt(2 * np.log(2 / alpha) / (len(x) * earlier)))


def _least_kept(x: Floats, stakes: Floats, needed: float) -> float:
    """The smallest mean that bets on larger values do not rule out: their capital falls as it grows."""
    out, kept = 0.0, 1.0
    if _most_won(x, stakes, out) < needed:
        return out
    for _ in range(HALVINGS):
        middle = (out + kept) / 2
        out, kept = (middle, kept) if _most_won(x, stakes, middle) >= needed else (out, middle)
    return out


def _most_won(x: Floats, stakes: Floats, mean: float) -> float:
    """The log of the most that 1, staked on values above `mean`, becomes after some bet."""
    staked = np.minimum(stakes, MOST / mean) if mean else stakes
    return float(np.cumsum(np.log1p(staked * (x - mean))).max())


def _p(x: Floats, stakes: Floats, mean: float) -> float:
    return float(min(1.0, np.exp(-_most_won(x, stakes, mean))))
