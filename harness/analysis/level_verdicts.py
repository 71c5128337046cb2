"""Claims about the level of a bounded metric: an accuracy, or a probability, itself against a value.

Nothing makes such values lie symmetrically about the value that they are held against, so signs are not
flipped: an accuracy of .9 misses by .1 at most on one side and by .9 on the other. Bets are made instead, see
`harness.stats.bounded_means`: they hold with any number of units and any skew.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.family_shares import family_share, with_share
from harness.analysis.mean_verdicts import Bound
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.design import smallest_bet
from harness.stats.bounded_means import BoundedMean, bounded_mean

Floats = NDArray[np.float64]


def judge_level(
    blank: Verdict,
    values: Floats,
    units: Units,
    bound: Bound,
    direction: int,
    alpha: float,
    bounds: tuple[float, float],
) -> Verdict:
    """A claim about the mean of `values` (n_pairs,), none beyond `bounds`, of independent `units`."""
    floor = smallest_bet(units.n, bound.than, bound.within, direction, alpha, bounds)
    design = replace(blank, n_units=units.n, n_pairs=len(values), floor=floor, because=units.words)
    share = family_share(values, units, bound.than, bound.within, direction, 1 - alpha)
    design = with_share(design, share, units)
    if units.n < 2 or floor > alpha:
        return replace(
            design,
            estimate=float(values.mean()) if len(values) else None,
            because=f"{units.words} can give no p below {floor:.3g}, by betting",
        )
    mean = bounded_mean(values, *bounds, units.of, alpha=alpha)
    design = replace(design, estimate=mean.mean, because=f"{design.because}, by betting")
    if bound.margin is None:
        return _judge_side(design, mean, bound.than, direction, alpha)
    return _judge_margin(design, mean, bound.margin, alpha)


def _judge_side(
    design: Verdict, mean: BoundedMean, than: float, direction: int, alpha: float
) -> Verdict:
    low, high = mean.interval(1 - alpha)
    p = min(1.0, 2 * min(mean.p_above(than), mean.p_below(than)))
    agrees = (mean.mean > than) == (direction > 0)
    verdict = "inconclusive" if p > alpha else "supported" if agrees else "refuted"
    return replace(design, verdict=verdict, ci_low=low, ci_high=high, p=p)


def _judge_margin(
    design: Verdict, mean: BoundedMean, margin: tuple[float, float], alpha: float
) -> Verdict:
    low, high = mean.interval(1 - 2 * alpha)
    inside = max(mean.p_above(margin[0]), mean.p_below(margin[1]))
    outside = min(1.0, 2 * min(mean.p_below(margin[0]), mean.p_above(margin[1])))
    half = (margin[1] - margin[0]) / 2
    return replace(
        design,
        verdict="supported"
        if inside <= alpha
        else "refuted"
        if outside <= alpha
        else "inconclusive",
        ci_low=low,
        ci_high=high,
        p=outside if outside <= alpha else inside,
        because=f"{design.because}, margin {half:g}, {1 - 2 * alpha:.0%} interval",
    )
