"""Claims about a mean over families: on one side of a value, or inside a margin around it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.verdict import Verdict
from harness.specs.claims import AblationClaim, BehaviourClaim
from harness.specs.design import smallest_p
from harness.stats import equivalence, mean_interval, paired_max_t

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """What a claim holds a mean against, in nats: a value, or a margin around it where it has one."""

    than: float
    within: float | None

    @property
    def margin(self) -> tuple[float, float] | None:
        """The lower and upper end of the margin; None where there is none."""
        return None if self.within is None else (self.than - self.within, self.than + self.within)


def bound_of(claim: BehaviourClaim | AblationClaim) -> Bound:
    """The bound of a claim about a mean: an ablation's impact is always held against 0."""
    return Bound(claim.than if isinstance(claim, BehaviourClaim) else 0.0, claim.within)


def judge_mean(
    blank: Verdict,
    values: Floats,
    units: NDArray[np.str_],
    bound: Bound,
    direction: int,
    alpha: float,
) -> Verdict:
    """A claim about the mean of `values` (n_pairs,), clustered by `units` (n_pairs,): families."""
    n_units = len(set(units))
    design = replace(blank, n_units=n_units, n_pairs=len(values), floor=smallest_p(n_units))
    # An equivalence test is a t test, and has no floor.
    if n_units < 2 or (bound.within is None and design.floor > alpha):
        return replace(
            design,
            verdict="untestable",
            estimate=float(values.mean()) if len(values) else None,
            because=f"{n_units} families can give no p below {design.floor:.3g}",
        )
    if bound.within is not None:
        return _judge_margin(design, values, units, bound.than, bound.within, alpha)
    return _judge_side(design, values, units, bound.than, direction, alpha)


def _judge_margin(
    design: Verdict,
    values: Floats,
    units: NDArray[np.str_],
    than: float,
    within: float,
    alpha: float,
) -> Verdict:
    """Whether the mean lies inside a margin around `than`."""
    same = equivalence(values - than, units, margin=within, alpha=alpha)
    if same.flag:
        return replace(
            design,
            verdict="untestable",
            estimate=same.mean + than,
            because=f"{design.n_units} families, all with exactly the same value",
        )
    outside = same.low > within or same.high < -within
    return replace(
        design,
        verdict="supported" if same.p <= alpha else "refuted" if outside else "inconclusive",
        estimate=same.mean + than,
        ci_low=same.low + than,
        ci_high=same.high + than,
        p=same.p,
        because=f"{design.n_units} families, margin {within:g}, {1 - 2 * alpha:.0%} interval",
    )


def _judge_side(
    design: Verdict,
    values: Floats,
    units: NDArray[np.str_],
    than: float,
    direction: int,
    alpha: float,
) -> Verdict:
    """Whether the mean lies on the claimed side of `than`: above for 1, below for -1."""
    side = side_of(values, units, than, alpha)
    agrees = side.sign == direction
    return replace(
        design,
        verdict="inconclusive" if not side.rejects else "supported" if agrees else "refuted",
        estimate=side.mean,
        ci_low=side.low,
        ci_high=side.high,
        p=side.p,
        floor=side.floor,
        because=f"{design.n_units} families"
        + (f", but the interval holds {than:g}" if side.p <= alpha and not side.rejects else ""),
    )


@dataclass(frozen=True)
class Side:
    """On which side of a value a mean lies: its `sign`, and whether that is shown (`rejects`)."""

    mean: float
    low: float
    high: float
    p: float
    floor: float
    sign: int
    rejects: bool


def side_of(values: Floats, units: NDArray[np.str_], than: float, alpha: float) -> Side:
    """The two-sided test of the mean of `values` (n_pairs,) against `than`, clustered by `units` (n_pairs,).

    It rejects where the sign flips' p is at most alpha and the interval of 1 - alpha does not hold the value.
    """
    test = paired_max_t(values - than, units=units, statistic="mean")
    mean = mean_interval(values, units, level=1 - alpha)
    p, low, high = float(test.p_marginal[0]), float(mean.low[0]), float(mean.high[0])
    # Flips test symmetry about `than`, the interval its mean: skewed impacts can part the two.
    rejects = p <= alpha and not low <= than <= high
    sign = int(np.sign(mean.mean[0] - than))
    return Side(float(mean.mean[0]), low, high, p, test.floor, sign, rejects)
