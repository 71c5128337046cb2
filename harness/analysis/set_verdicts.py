"""Claims about a set as a whole: that all other features do next to nothing, and that no member is idle.

That the rest does nothing is equivalence: two one-sided tests of the complement's impact against a margin in
the metric's unit, or against a share of what the variants differ by. That each member is needed says one
thing of each of them, and is supported where each is shown at alpha: an intersection-union test, which needs
no correction (Berger 1982). Which members are shown one by one is another question, of as many tests, and
the sentence answers it by max-T over the members.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import hold_against_noise
from harness.analysis.claim_parts import is_clear
from harness.analysis.family_shares import family_share, with_share
from harness.analysis.mean_verdicts import Bound, Side, bound_of, judge_mean, side_of
from harness.analysis.share_verdicts import without_gap
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.errors import first_few
from harness.specs.design import smallest_p
from harness.specs.intervention import Feature
from harness.specs.set_claims import ComplementClaim, NeededClaim
from harness.stats import mean_interval, paired_max_t
from harness.stats.ratios import ratio_interval

Floats = NDArray[np.float64]


def judge_complement(
    impacts: AblationImpacts, gap: Floats | None, claim: ComplementClaim, alpha: float
) -> Verdict:
    """Whether the edit of all other features moves the answers by less than the claim's margin.

    `gap` (n_prompts,) is the other variant's metric minus the edited one's, see `judge_share`: it is needed
    where the margin is a share of it.
    """
    rest = impacts.complement
    assert rest is not None  # the spec's contradictions ask for it
    if claim.within_share is not None:
        assert gap is not None
        return _within_share(impacts, rest, gap, claim, claim.within_share, alpha)
    bound = bound_of(claim, impacts.metric)
    blank = Verdict(claim.name, claim.kind, impacts.unit)
    found = judge_mean(blank, rest, impacts.units, bound, 0 if bound.margin else -1, alpha)
    return hold_against_noise(_beside_the_set(found, impacts), bound, impacts.noise, impacts.unit)


def _within_share(
    impacts: AblationImpacts,
    rest: Floats,
    gap: Floats,
    claim: ComplementClaim,
    share: float,
    alpha: float,
) -> Verdict:
    """That |mean(rest)| is below a share s of |mean(gap)|: s x gap - rest and s x gap + rest lie above 0.

    Where the gap is positive. Each is held against 0 as Fieller (1954) does a ratio, by flips and by the
    interval of its mean, and the ratio's own jackknife interval must agree.
    """
    units = impacts.units
    floor = smallest_p(units.n)
    design = Verdict(
        claim.name, claim.kind, "share", n_units=units.n, n_pairs=len(gap), floor=floor
    )
    if units.n < 2 or floor > alpha:
        return replace(design, because=f"{units.words} can give no p below {floor:.3g}")
    toward, without = without_gap(design, gap, units, alpha)
    if without:
        return without
    spare = toward * share * gap
    closer = family_share(spare - np.abs(rest), units, 0.0, None, 1, 1 - alpha)
    design = with_share(design, closer, units)
    below, above = spare - toward * rest, spare + toward * rest
    inside = max(_p_above(below, units), _p_above(above, units))
    outside = min(1.0, 2 * min(_p_above(-below, units), _p_above(-above, units)))
    ratio = ratio_interval(rest, gap, units.of, level=1 - 2 * alpha)
    agrees = -share < ratio.low and ratio.high < share
    apart = ratio.low > share or ratio.high < -share
    refuted = outside <= alpha and apart
    because = (
        f"{design.because}, {rest.mean():+.3g} {impacts.unit} of a gap of {gap.mean():+.3g}, margin "
        f"{share:g}, {1 - 2 * alpha:.0%} interval"
    )
    if inside <= alpha and not agrees:
        because += ", which reaches beyond it"
    verdict = "supported" if inside <= alpha and agrees else "inconclusive"
    found = replace(
        design,
        verdict="refuted" if refuted else verdict,
        estimate=ratio.ratio,
        ci_low=ratio.low,
        ci_high=ratio.high,
        p=outside if refuted else inside,
        because=because,
    )
    noise = impacts.noise / abs(float(gap.mean()))
    return hold_against_noise(_beside_the_set(found, impacts), Bound(0.0, share), noise, "share")


def _p_above(values: Floats, units: Units) -> float:
    """The p that the mean of `values` (n_pairs,) is above 0: of sign flips or of t, whichever is larger."""
    flips = paired_max_t(values, units=units.of, statistic="mean", alternative="greater")
    mean = mean_interval(values, units.of)
    error, above = float(mean.error[0]), float(mean.mean[0])
    by_t = stats.t.sf(above / error, units.n - 1) if error else float(above <= 0)
    return max(float(flips.p_marginal[0]), float(by_t))


def _beside_the_set(found: Verdict, impacts: AblationImpacts) -> Verdict:
    """The verdict with what the set's own edit does, which is of the same values."""
    if found.p is None:
        return found
    own = f"{found.because}; the set itself {impacts.target.mean():+.3g} {impacts.unit}"
    return replace(found, because=own)


def judge_needed(impacts: AblationImpacts, claim: NeededClaim, alpha: float) -> Verdict:
    """Whether a set moves the answers as claimed, and by more than it does without any one of its members.

    What each adds is the set's impact minus that without it, prompt by prompt. Refuted where of one member,
    or of the set, the contrary is shown at alpha over their number. Estimate and interval are the weakest
    member's, and p is the largest.
    """
    blank = Verdict(claim.name, claim.kind, impacts.unit)
    if not impacts.without:
        return replace(blank, because="the set has one feature, and nothing is left without it")
    direction = (1 if claim.direction == "toward-correct" else -1) * impacts.kind.toward
    adds = {one: impacts.target - less for one, less in impacts.without.items()}
    units = impacts.units
    if units.n < 2 or smallest_p(units.n) > alpha:
        return judge_mean(
            blank, next(iter(adds.values())), units, Bound(0.0, None), direction, alpha
        )
    sides = {one: side_of(values, units, 0.0, alpha) for one, values in adds.items()}
    own = side_of(impacts.target, units, 0.0, alpha)
    noise = impacts.noise
    parts = {one: _p_of(side, direction) for one, side in sides.items()}
    weakest = max(parts, key=lambda one: (parts[one], -direction * sides[one].mean))
    strict = alpha / (1 + len(adds))
    # A member adds a difference of two impacts, each of which may be off by the noise.
    against = [
        one
        for one, values in adds.items()
        if _is_shown(side_of(values, units, 0.0, strict), -direction, 2 * noise)
    ]
    turned = _is_shown(side_of(impacts.target, units, 0.0, strict), -direction, noise)
    if against:
        weakest = min(against, key=lambda one: sides[one].p)
    shown = all(_is_shown(side, direction, 2 * noise) for side in sides.values())
    moves = _is_shown(own, direction, noise)
    refuted = bool(against) or turned
    p = max(*parts.values(), _p_of(own, direction))
    if refuted:
        least = min([*(sides[one].p for one in against), *[own.p] * turned])
        p = min(1.0, (1 + len(adds)) * least)
    found = judge_mean(blank, adds[weakest], units, Bound(0.0, None), direction, alpha)
    said = [
        f"{found.because}, of {_name(weakest)}, the weakest of {len(adds)}",
        f"the set itself {own.mean:+.3g} {impacts.unit} (p {own.p:.2g})"
        + (", the other way" if turned else "" if moves else ", which is not shown"),
        _said_of_members(adds, units, direction, alpha),
    ]
    if against:
        said.append(f"without it the set does more: {first_few(map(_name, against))}")
    verdict = "refuted" if refuted else "supported" if shown and moves else "inconclusive"
    return replace(found, verdict=verdict, p=p, because="; ".join(said))


def _is_shown(side: Side, direction: int, noise: float) -> bool:
    return side.rejects and side.sign == direction and is_clear(side, noise)


def _p_of(side: Side, direction: int) -> float:
    return side.p if side.sign == direction else 1.0


def _said_of_members(
    adds: Mapping[Feature, Floats],
    units: Units,
    direction: int,
    alpha: float,
) -> str:
    """Which members are not shown to be needed, one by one over all of them, in words."""
    matrix = direction * np.array(list(adds.values())).T
    test = paired_max_t(matrix, units=units.of, statistic="mean", alternative="greater")
    missing = [_name(one) for one, p in zip(adds, test.p_adjusted, strict=True) if p > alpha]
    if not missing:
        return f"each is shown one by one (max-T over {len(adds)})"
    return f"not shown one by one (max-T over {len(adds)}): {first_few(missing)}"


def _name(feature: Feature) -> str:
    layer, index = feature
    return f"{layer}:{index}"
