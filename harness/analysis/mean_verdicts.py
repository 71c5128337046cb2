"""Claims about a mean over families: on one side of a value, or inside a margin around it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.family_shares import family_share, with_share
from harness.analysis.units import Units, means_of
from harness.analysis.verdict import Verdict
from harness.specs.claims import BehaviourClaim
from harness.specs.clusters import FAMILY
from harness.specs.design import smallest_p
from harness.specs.edit_claims import EditClaim, ShareClaim
from harness.specs.metrics import KL
from harness.stats import equivalence, mean_interval, paired_max_t
from harness.stats.correlation_within import intraclass_correlation
from harness.stats.intervals import without_each
from harness.stats.max_t import Alternative

Floats = NDArray[np.float64]
NEAR = 1e-6  # of an interval's length: nearer to a value, its own digits decide


@dataclass(frozen=True)
class Bound:
    """What a claim holds a mean against, in its unit: a value, or a margin around it where it has one."""

    than: float
    within: float | None

    @property
    def margin(self) -> tuple[float, float] | None:
        """The lower and upper end of the margin; None where there is none."""
        return None if self.within is None else (self.than - self.within, self.than + self.within)


def bound_of(claim: BehaviourClaim | EditClaim, metric: str | None = None) -> Bound:
    """The bound of a claim about a mean: an ablation's impact is always held against 0.

    `metric` is what the claim is measured in, where it is no more than its spec's.
    """
    within = getattr(claim, "within", None)
    if within is not None and (metric or getattr(claim, "metric", None)) == KL:
        return Bound(within, None)  # it only grows
    than = claim.than if isinstance(claim, BehaviourClaim | ShareClaim) else 0.0
    return Bound(than, getattr(claim, "within", None))


def judge_mean(
    blank: Verdict,
    values: Floats,
    units: Units,
    bound: Bound,
    direction: int,
    alpha: float,
) -> Verdict:
    """A claim about the mean of `values` (n_pairs,) of independent `units`: families, or clusters of them."""
    n_units = units.n
    floor, because = smallest_p(n_units), units.words
    design = replace(blank, n_units=n_units, n_pairs=len(values), floor=floor, because=because)
    share = family_share(values, units, bound.than, bound.within, direction, 1 - alpha)
    design = with_share(design, share, units, _alike(values, units))
    if n_units < 2 or design.floor > alpha:
        return replace(
            design,
            verdict="untestable",
            estimate=float(values.mean()) if len(values) else None,
            because=f"{units.words} can give no p below {design.floor:.3g}",
        )
    if bound.within is not None:
        return _judge_margin(design, values, units, bound.than, bound.within, alpha)
    return _judge_side(design, values, units, bound.than, direction, alpha)


def _alike(values: Floats, units: Units) -> str:
    """How alike families of a cluster are in their means of `values` (n_pairs,), in words; else nothing."""
    if units.tag == FAMILY:
        return ""
    _, at = np.unique(units.families, return_index=True)
    rho = intraclass_correlation(means_of(values, units.families), units.of[at])
    return f", correlation within {units.names} {rho:.2g}" if np.isfinite(rho) else ""


def _judge_margin(
    design: Verdict,
    values: Floats,
    units: Units,
    than: float,
    within: float,
    alpha: float,
) -> Verdict:
    """Whether the mean lies inside a margin around `than`."""
    same = equivalence(values - than, units.of, margin=within, alpha=alpha)
    p_inside, p_outside = _margin_flips(values - than, units, within)
    if same.flag:
        return replace(
            design,
            verdict="untestable",
            estimate=same.mean + than,
            because=f"{units.words}, all with exactly the same value",
        )
    p = max(same.p, p_inside)
    outside = (same.low > within or same.high < -within) and p_outside <= alpha
    because = f"{design.because}, margin {within:g}, {1 - 2 * alpha:.0%} interval"
    if same.p <= alpha < p:
        because += f", but sign flips against the margins give p {p:.2g}"
    return replace(
        design,
        verdict="supported" if p <= alpha else "refuted" if outside else "inconclusive",
        estimate=same.mean + than,
        ci_low=same.low + than,
        ci_high=same.high + than,
        p=p_outside if outside else p,
        because=because,
    )


def _margin_flips(values: Floats, units: Units, within: float) -> tuple[float, float]:
    """By sign flips: p that the mean is inside the margin around 0, and p that it is outside.

    Flips test symmetry about either end, the interval the mean: skewed impacts can part the two, and
    both have to reject.
    """

    def flips(end: float, alternative: Alternative) -> float:
        test = paired_max_t(values - end, units=units.of, statistic="mean", alternative=alternative)
        return float(test.p_marginal[0])

    inside = max(flips(within, "less"), flips(-within, "greater"))
    return inside, min(1.0, 2 * min(flips(within, "greater"), flips(-within, "less")))


def _judge_side(
    design: Verdict,
    values: Floats,
    units: Units,
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
        because=design.because + (f", {side.why}" if side.p <= alpha and not side.rejects else ""),
    )


@dataclass(frozen=True)
class Side:
    """On which side of a value a mean lies: its `sign`, and whether that is shown (`rejects`).

    `why` says what keeps it from being shown where the flips reject.
    """

    mean: float
    low: float
    high: float
    p: float
    floor: float
    sign: int
    rejects: bool
    why: str = ""


def side_of(values: Floats, units: Units, than: float, alpha: float) -> Side:
    """The two-sided test of the mean of `values` (n_pairs,) against `than`, of independent `units`.

    It rejects where the sign flips' p is at most alpha and the interval of 1 - alpha does not hold the value,
    with every unit and without any one of them.
    """
    test = paired_max_t(values - than, units=units.of, statistic="mean")
    mean = mean_interval(values, units.of, level=1 - alpha)
    p, low, high = float(test.p_marginal[0]), float(mean.low[0]), float(mean.high[0])
    # Flips test symmetry about `than`, the interval its mean: skewed impacts can part the two.
    why = f"but the interval holds {than:g}" if low <= than <= high else ""
    if p <= alpha and not why and (unit := _carrier(values, units, than, alpha)):
        why = f"but one {units.tag} carries it: {unit}"
    sign = int(np.sign(mean.mean[0] - than))
    rejects = p <= alpha and not why
    return Side(float(mean.mean[0]), low, high, p, test.floor, sign, rejects, why)


def _carrier(values: Floats, units: Units, than: float, alpha: float) -> str:
    """A unit without which the interval holds the value, or the mean is on its other side; or none."""
    above = values.mean() > than
    if units.n < 3:
        return ""  # one unit alone has no interval
    names, codes = np.unique(units.of, return_inverse=True)
    low, high = without_each(values, codes, level=1 - alpha)
    # Of those that are clear by far nothing more is asked; the others are few, or the first of them is it.
    clear = low - than if above else than - high
    for unit in names[~(clear > NEAR * (high - low))]:
        others = units.of != unit
        rest = mean_interval(values[others], units.of[others], level=1 - alpha)
        if not (rest.low[0] > than if above else rest.high[0] < than):
            return str(unit)
    return ""
