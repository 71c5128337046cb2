"""Claims about a share: how much of what the variants differ by an edit closes."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import hold_against_mass, hold_against_noise
from harness.analysis.mean_verdicts import Bound, judge_mean, side_of
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
    between = side_of(gap, impacts.units, 0.0, alpha) if impacts.units.n > 1 else None
    if between is not None and not between.rejects:
        because = f"the variants do not differ (p {between.p:.2g}), so there is no gap to close"
        return replace(
            blank,
            n_units=impacts.units.n,
            n_pairs=len(gap),
            floor=between.floor,
            because=because,
        )
    toward = 1.0 if between is None else between.sign
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
