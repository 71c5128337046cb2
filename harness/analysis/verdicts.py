"""Claims held against an analysis: supported, refuted, inconclusive or untestable.

A claim is supported only where its test, fixed in the spec beforehand, rejects in the claimed
direction on the confirming families; refuted where it rejects the other way. All tests are
two-sided: the direction was fixed, but the other one must be able to win.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_tests import AblationImpacts
from harness.analysis.feature_tests import Analysis
from harness.specs.claims import AblationClaim, BehaviourClaim, FeatureClaim
from harness.specs.intervention import Feature
from harness.specs.power import smallest_p
from harness.specs.prompt import Origin
from harness.stats.equivalence import equivalence
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t
from harness.store.tables.results import Verdicts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What became of one claim. `estimate` and its interval are in `unit`; None where there is none."""

    claim: str
    kind: str
    unit: str
    verdict: str = "untestable"
    because: str = ""
    query: str = ""
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    n_units: int = 0
    n_pairs: int = 0
    floor: float = 1.0


def verdicts(
    analysis: Analysis, truth: Collection[Feature] | None, run_id: str
) -> Iterator[Verdict]:
    """One verdict a claim made on this target, in the order of the spec."""
    plan = analysis.plan
    for claim in plan.spec.claims_on(plan.target.name):
        if isinstance(claim, BehaviourClaim):
            found = _behaviour(analysis, claim)
            query = f"FROM behaviour WHERE run_id = '{run_id}' AND split = 'confirmation'"
        elif isinstance(claim, FeatureClaim):
            found = _features(analysis, claim, truth)
            query = f"FROM top_features WHERE run_id = '{run_id}'"
        else:
            found = _ablation(analysis, claim)
            query = (
                f"FROM ablation_summary WHERE run_id = '{run_id}' AND ablation = '{claim.ablation}'"
            )
        yield replace(found, query=query)


def to_columns(
    found: Collection[Verdict], run_id: str, alpha: float, exploratory: bool, origin: Origin
) -> Verdicts:
    """The verdicts as rows of the store."""
    return Verdicts.of(
        vars(verdict)
        | {"run_id": run_id, "alpha": alpha, "exploratory": exploratory, "origin": origin}
        for verdict in found
    )


def _behaviour(analysis: Analysis, claim: BehaviourClaim) -> Verdict:
    def of(prompt_id: str) -> float:
        return analysis.behaviour[prompt_id][claim.behaviour]

    correct = np.array([of(pair.correct.id) for pair in analysis.pairs])
    confused = np.array([of(pair.misconception.id) for pair in analysis.pairs])
    values = correct - confused if claim.contrast else (correct + confused) / 2
    units = np.array([pair.family for pair in analysis.pairs])
    return _of_mean(
        analysis,
        Verdict(claim.name, "behaviour", "nats"),
        values,
        units,
        than=claim.than,
        direction={"greater": 1, "less": -1, None: 0}[claim.direction],
        within=claim.within,
    )


def _ablation(analysis: Analysis, claim: AblationClaim) -> Verdict:
    result = analysis.ablations[claim.ablation]
    direction = {"toward-correct": 1, "toward-misconception": -1, None: 0}[claim.direction]
    values = result.beyond if claim.beyond == "controls" else result.target
    found = _of_mean(
        analysis,
        Verdict(claim.name, "ablation", "nats"),
        values,
        result.units,
        than=0.0,
        direction=direction,
        within=claim.within,
    )
    if claim.beyond == "controls" and direction:
        found = _with_rank(found, result, direction, analysis.plan.spec.contrast.alpha)
    return found


def _with_rank(found: Verdict, result: AblationImpacts, direction: int, alpha: float) -> Verdict:
    """The target must also outrank its controls: one that is stronger than most is not enough."""
    if found.p is None:
        return found
    rank = result.rank_p(direction)
    among = f"rank p {rank:.2g} of {len(result.controls)} controls"
    if 1 / (len(result.controls) + 1) > alpha:
        return replace(found, verdict="untestable", because=f"too few controls, {among}")
    failed = found.verdict == "supported" and rank > alpha
    return replace(
        found,
        verdict="inconclusive" if failed else found.verdict,
        because=f"{found.because}, {among}",
        # Both tests must reject: the larger p decides.
        p=max(found.p, rank) if found.verdict == "supported" else found.p,
    )


def _of_mean(
    analysis: Analysis,
    blank: Verdict,
    values: Floats,
    units: NDArray[np.str_],
    *,
    than: float,
    direction: int,
    within: float | None,
) -> Verdict:
    """A claim about the mean of `values` over pairs, clustered by family."""
    alpha = analysis.plan.spec.contrast.alpha
    n_units = len(set(units))
    found = replace(blank, n_units=n_units, n_pairs=len(values), floor=smallest_p(n_units))
    if n_units < 2 or (within is None and found.floor > alpha):
        estimate = float(values.mean()) if len(values) else None
        return replace(
            found,
            verdict="untestable",
            estimate=estimate,
            because=f"{n_units} families can give no p below {found.floor:.3g}",
        )
    if within is not None:
        same = equivalence(values - than, units, margin=within, alpha=alpha)
        if same.flag:
            return replace(
                found,
                verdict="untestable",
                estimate=same.mean + than,
                because=f"{n_units} families, all with exactly the same value",
            )
        outside = same.low > within or same.high < -within
        return replace(
            found,
            verdict="supported" if same.p <= alpha else "refuted" if outside else "inconclusive",
            estimate=same.mean + than,
            ci_low=same.low + than,
            ci_high=same.high + than,
            p=same.p,
            because=f"{n_units} families, margin {within:g}, {1 - 2 * alpha:.0%} interval",
        )
    test = paired_max_t(values - than, units=units, statistic="mean")
    mean = mean_interval(values, units, level=1 - alpha)
    p, estimate = float(test.p_marginal[0]), float(mean.mean[0])
    # Flips test symmetry about `than`, the interval its mean: skewed impacts can part the two.
    parted = mean.low[0] <= than <= mean.high[0]
    rejected = p <= alpha and not parted
    agrees = (estimate - than) * direction > 0
    return replace(
        found,
        verdict="inconclusive" if not rejected else "supported" if agrees else "refuted",
        estimate=estimate,
        ci_low=float(mean.low[0]),
        ci_high=float(mean.high[0]),
        p=p,
        floor=test.floor,
        because=f"{n_units} families"
        + (f", but the interval holds {than:g}" if p <= alpha and parted else ""),
    )


def _features(
    analysis: Analysis, claim: FeatureClaim, truth: Collection[Feature] | None
) -> Verdict:
    result = analysis.features
    alpha = analysis.plan.spec.contrast.alpha
    found = Verdict(
        claim.name,
        "features",
        "features",
        n_units=result.n_units,
        n_pairs=len(analysis.pairs),
        floor=smallest_p(result.n_units),
    )
    if result.n_units >= 2 and result.test is None:
        return replace(found, because="no feature is active on the confirming families")
    if result.test is None or found.floor > alpha:
        return replace(
            found,
            because=f"{found.n_units} families can give no p below {found.floor:.3g}",
        )
    if claim.features == "truth" and truth is None:
        return replace(found, because=f"{analysis.plan.target.name} has no known truth")
    asked = [
        feature in truth if claim.features == "truth" and truth is not None else True
        for feature in result.features
    ]
    ordered = np.sort(result.test.p_adjusted[np.array(asked, dtype=bool)])
    count = int((ordered <= alpha).sum())
    if claim.at_least is not None:
        verdict = "supported" if count >= claim.at_least else "inconclusive"
        deciding = claim.at_least - 1
    else:
        assert claim.at_most is not None
        verdict = "supported" if count <= claim.at_most else "refuted"
        deciding = claim.at_most
    return replace(
        found,
        verdict=verdict,
        estimate=float(count),
        p=float(ordered[deciding]) if deciding < len(ordered) else 1.0,
        because=f"{found.n_units} families, {len(result.features)} features"
        + (f", {len(truth)} known" if claim.features == "truth" and truth else ""),
    )
