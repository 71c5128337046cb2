"""Claims about a share: how much of what the variants differ by an edit closes."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import hold_against_mass, hold_against_noise
from harness.analysis.mean_verdicts import Bound, judge_mean, side_of
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.edit_claims import ShareClaim
from harness.stats.ratios import ratio_interval

Floats = NDArray[np.float64]


def judge_share(impacts: AblationImpacts, gap: Floats, claim: ShareClaim, alpha: float) -> Verdict:
    """Whether an edit closes more than a share s of the gap between the variants, both (n_prompts,) in nats.

    `gap` is the other variant's metric minus the edited one's. That mean(impact) / mean(gap) exceeds s is
    that the mean of impact - s x gap lies on the gap's side of 0 (Fieller 1954): this is what is tested,
    by families or clusters of them, and the ratio's own jackknife interval must agree.
    """
    blank = Verdict(claim.name, claim.kind, "share")
    toward, without = without_gap(blank, gap, impacts.units, alpha)
    if without:
        return without
    excess = toward * (impacts.target - claim.than * gap)
    found = judge_mean(blank, excess, impacts.units, Bound(0.0, None), 1, alpha)
    if found.p is None:
        return replace(found, estimate=None)
    found = hold_against_noise(found, Bound(0.0, None), impacts.noise, impacts.unit)
    ratio = ratio_interval(impacts.target, gap, impacts.units.of, level=1 - alpha)
    because = (
        f"{found.because}, {impacts.target.mean():+.3g} {impacts.unit} of a gap of {gap.mean():+.3g}, "
        f"against {claim.than:g}"
    )
    verdict = found.verdict
    if verdict != "inconclusive" and ratio.low <= claim.than <= ratio.high:
        verdict, because = "inconclusive", f"{because}, which the ratio's interval holds"
    found = replace(
        found,
        verdict=verdict,
        estimate=ratio.ratio,
        ci_low=ratio.low,
        ci_high=ratio.high,
        because=because,
    )
    return hold_against_mass(found, impacts.mass, claim.keeps)


def without_gap(
    blank: Verdict, gap: Floats, units: Units, alpha: float
) -> tuple[float, Verdict | None]:
    """The sign of the `gap` (n_prompts,), and the verdict where the variants are not shown to differ."""
    if units.n < 2:
        return 1.0, None
    between = side_of(gap, units, 0.0, alpha)
    if between.rejects:
        return float(between.sign), None
    because = f"the variants do not differ (p {between.p:.2g}), so there is no gap to close"
    return 1.0, replace(
        blank, n_units=units.n, n_pairs=len(gap), floor=between.floor, because=because
    )
