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
from harness.analysis.noise_floor import is_clear_of_noise
from harness.analysis.run_analysis import Analysis
from harness.specs.claims import AblationClaim, BehaviourClaim, FeatureClaim
from harness.specs.design import smallest_p
from harness.specs.intervention import Feature
from harness.specs.prompt import Origin
from harness.stats import equivalence, mean_interval, paired_max_t
from harness.store.queries import view_query
from harness.store.tables.results import Verdicts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Caution:
    """That a verdict rests on features of a layer whose SAE has a `warning`.

    `features` are of the layer; none where the verdict rests on too few of them being significant.
    """

    layer: int
    features: tuple[int, ...]
    warning: str


@dataclass(frozen=True)
class Verdict:
    """What became of one claim. `estimate` and its interval are in `unit`; None where there is none.

    `floor` is the smallest p that so many units can give, and `query` the SQL that shows the rows.
    `cautions` say what speaks against the SAEs of the features that it rests on.
    """

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
    cautions: tuple[Caution, ...] = ()


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


def verdicts(
    analysis: Analysis, truth: Collection[Feature] | None, run_id: str
) -> Iterator[Verdict]:
    """One verdict a claim made on this target, in the order of the spec.

    `truth` are the features that are known to tell the voices apart; None where nothing is known.
    """
    plan = analysis.plan
    for claim in plan.spec.claims_on(plan.target.name):
        if isinstance(claim, BehaviourClaim):
            verdict = _judge_behaviour(analysis, claim)
            query = view_query("behaviour", run_id, split="confirmation")
        elif isinstance(claim, FeatureClaim):
            verdict = _judge_features(analysis, claim, truth)
            query = view_query("top_features", run_id)
        else:
            verdict = _judge_ablation(analysis, claim)
            query = view_query("ablation_summary", run_id, ablation=claim.ablation)
        yield replace(verdict, query=query)


def verdict_rows(
    drawn: Collection[Verdict], run_id: str, alpha: float, exploratory: bool, origin: Origin
) -> Verdicts:
    """The verdicts as rows of the store."""
    return Verdicts.of(
        {name: value for name, value in vars(verdict).items() if name != "cautions"}
        | {"run_id": run_id, "alpha": alpha, "exploratory": exploratory, "origin": origin}
        for verdict in drawn
    )


def _judge_behaviour(analysis: Analysis, claim: BehaviourClaim) -> Verdict:
    def metric(prompt_id: str) -> float:
        return analysis.behaviour[prompt_id][claim.behaviour]

    correct = np.array([metric(pair.correct.id) for pair in analysis.pairs])
    confused = np.array([metric(pair.misconception.id) for pair in analysis.pairs])
    values = correct - confused if claim.contrast else (correct + confused) / 2
    units = np.array([pair.family for pair in analysis.pairs])
    direction = {"greater": 1, "less": -1, None: 0}[claim.direction]
    blank = Verdict(claim.name, "behaviour", "nats")
    return _judge_mean(analysis, blank, values, units, bound_of(claim), direction)


def _judge_ablation(analysis: Analysis, claim: AblationClaim) -> Verdict:
    impacts = analysis.ablations[claim.ablation]
    direction = {"toward-correct": 1, "toward-misconception": -1, None: 0}[claim.direction]
    values = impacts.beyond if claim.beyond == "controls" else impacts.target
    blank = Verdict(claim.name, "ablation", "nats")
    bound = bound_of(claim)
    verdict = _judge_mean(analysis, blank, values, impacts.units, bound, direction)
    # A difference of two impacts may be off by the noise of both.
    noise = impacts.noise * (2 if claim.beyond == "controls" else 1)
    verdict = _hold_against_noise(verdict, bound, noise)
    if claim.beyond == "controls" and direction:
        verdict = _require_rank(verdict, impacts, direction, analysis.plan.spec.contrast.alpha)
    return verdict


def _hold_against_noise(verdict: Verdict, bound: Bound, noise: float) -> Verdict:
    """Inconclusive where the device's noise, in nats, could have made the verdict."""
    if not noise > 0 or verdict.verdict not in ("supported", "refuted"):
        return verdict
    assert verdict.ci_low is not None
    assert verdict.ci_high is not None
    if is_clear_of_noise(verdict.ci_low, verdict.ci_high, bound.margin or bound.than, noise):
        return verdict
    because = f"{verdict.because}, but not clear of the device's noise of {noise:.2g} nats"
    return replace(verdict, verdict="inconclusive", because=because)


def _require_rank(
    verdict: Verdict, impacts: AblationImpacts, direction: int, alpha: float
) -> Verdict:
    """The target must also outrank its controls: one that is stronger than most is not enough."""
    if verdict.p is None:
        return verdict
    rank = impacts.rank_p(direction)
    among = f"rank p {rank:.2g} of {len(impacts.controls)} controls"
    if 1 / (len(impacts.controls) + 1) > alpha:
        return replace(verdict, verdict="untestable", because=f"too few controls, {among}")
    failed = verdict.verdict == "supported" and rank > alpha
    return replace(
        verdict,
        verdict="inconclusive" if failed else verdict.verdict,
        because=f"{verdict.because}, {among}",
        # Both tests must reject: the larger p decides.
        p=max(verdict.p, rank) if verdict.verdict == "supported" else verdict.p,
    )


def _judge_mean(
    analysis: Analysis,
    blank: Verdict,
    values: Floats,
    units: NDArray[np.str_],
    bound: Bound,
    direction: int,
) -> Verdict:
    """A claim about the mean of `values` (n_pairs,), clustered by `units` (n_pairs,): families."""
    alpha = analysis.plan.spec.contrast.alpha
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
    test = paired_max_t(values - than, units=units, statistic="mean")
    mean = mean_interval(values, units, level=1 - alpha)
    p, estimate = float(test.p_marginal[0]), float(mean.mean[0])
    # Flips test symmetry about `than`, the interval its mean: skewed impacts can part the two.
    held = mean.low[0] <= than <= mean.high[0]
    rejected = p <= alpha and not held
    agrees = (estimate - than) * direction > 0
    return replace(
        design,
        verdict="inconclusive" if not rejected else "supported" if agrees else "refuted",
        estimate=estimate,
        ci_low=float(mean.low[0]),
        ci_high=float(mean.high[0]),
        p=p,
        floor=test.floor,
        because=f"{design.n_units} families"
        + (f", but the interval holds {than:g}" if p <= alpha and held else ""),
    )


def _judge_features(
    analysis: Analysis, claim: FeatureClaim, truth: Collection[Feature] | None
) -> Verdict:
    result = analysis.features
    alpha = analysis.plan.spec.contrast.alpha
    design = Verdict(
        claim.name,
        "features",
        "features",
        n_units=result.n_units,
        n_pairs=len(analysis.pairs),
        floor=smallest_p(result.n_units),
    )
    if result.n_units >= 2 and result.test is None:
        return replace(design, because="no feature is active on the confirming families")
    if result.test is None or design.floor > alpha:
        return replace(
            design,
            because=f"{design.n_units} families can give no p below {design.floor:.3g}",
        )
    if claim.features == "truth" and truth is None:
        return replace(design, because=f"{analysis.plan.target.name} has no known truth")
    asked = [
        feature in truth if claim.features == "truth" and truth is not None else True
        for feature in result.features
    ]
    # Of n features k are significant where the k-th smallest p is: that p decides about a number.
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
        design,
        verdict=verdict,
        estimate=float(count),
        p=float(ordered[deciding]) if deciding < len(ordered) else 1.0,
        because=f"{design.n_units} families, {len(result.features)} features"
        + (f", {len(truth)} known" if claim.features == "truth" and truth else ""),
    )
