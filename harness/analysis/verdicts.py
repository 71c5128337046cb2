"""Claims held against an analysis: supported, refuted, inconclusive or untestable.

A claim is supported only where its test, fixed in the spec beforehand, rejects in the claimed
direction on the confirming families; refuted where it rejects the other way. All tests are
two-sided: the direction was fixed, but the other one must be able to win. A guard, that no more features
than so many are called, is held or broken: not to be called shows nothing.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.asked_prompts import asked_prompts
from harness.analysis.control_errors import with_control_errors
from harness.analysis.decoy_verdicts import judge_decoy
from harness.analysis.dose_verdicts import judge_monotone
from harness.analysis.feature_verdicts import judge_features
from harness.analysis.level_verdicts import judge_level
from harness.analysis.mean_verdicts import bound_of, judge_mean
from harness.analysis.over_claims import over_claims
from harness.analysis.run_analysis import Analysis
from harness.analysis.set_verdicts import judge_complement, judge_needed
from harness.analysis.share_verdicts import judge_share
from harness.analysis.side_effect_verdicts import judge_side_effect
from harness.analysis.source_impacts import Sample
from harness.analysis.stability_verdicts import judge_stable
from harness.analysis.token_verdicts import judge_tokens
from harness.analysis.transfer_verdicts import judge_transfers
from harness.analysis.units import units_of
from harness.analysis.verdict import Verdict
from harness.specs.ablations import Ablation
from harness.specs.claim_part import PartClaim
from harness.specs.claims import BehaviourClaim, FeatureClaim
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.edit_claims import (
    AblationClaim,
    CollateralClaim,
    DecoyClaim,
    EditClaim,
    MeasuredClaim,
    MonotoneClaim,
    ShareClaim,
    SpecificClaim,
    StableClaim,
    TokensClaim,
    TransfersClaim,
)
from harness.specs.intervention import Feature
from harness.specs.metrics import kind_of
from harness.specs.plan import Plan
from harness.specs.prompt import LABELS, Origin
from harness.specs.set_claims import ComplementClaim, NeededClaim
from harness.store.queries import evidence_query, view_query
from harness.store.tables.results import Verdicts

Floats = NDArray[np.float64]


def verdicts(
    analysis: Analysis, truth: Collection[Feature] | None, run_id: str
) -> tuple[Verdict, ...]:
    """One verdict a claim made on this target, in the order of the spec, corrected over all of them.

    `truth` are the features that are known to tell the voices apart; None where nothing is known.
    """
    return over_claims(tuple(_each(analysis, truth, run_id)), analysis.plan.spec)


def _each(analysis: Analysis, truth: Collection[Feature] | None, run_id: str) -> Iterator[Verdict]:
    plan = analysis.plan
    for claim in plan.spec.claims_on(plan.target.name):
        if isinstance(claim, BehaviourClaim):
            verdict = _judge_behaviour(analysis, claim)
            query = view_query("behaviour", run_id, split="confirmation")
        elif isinstance(claim, FeatureClaim):
            blank = Verdict(claim.name, "features", "features", n_pairs=len(analysis.pairs))
            alpha = plan.spec.contrast.alpha
            result = analysis.features[plan.spec.cluster_of(claim)]
            verdict = judge_features(
                blank, result, claim, truth, alpha, analysis.chosen.get(claim.among or "")
            )
            query = view_query("top_features", run_id)
        else:
            verdict = _judge_edit(analysis, claim)
            if (source := analysis.sets.get(claim.edit)) and source.lacks:
                verdict = replace(verdict, because=f"{verdict.because}; {source.lacks}")
            query = view_query(_VIEWS[claim.kind], run_id, ablation=claim.edit)
        if isinstance(claim, PartClaim) and claim.where:
            query = evidence_query(run_id, claim.name)  # views are of all prompts
        yield replace(verdict, query=query)


# Where the rows are that a claim about an edit rests on.
_VIEWS = {
    "ablation": "ablation_summary",
    "share": "ablation_summary",
    "complement": "ablation_summary",
    "needed": "ablation_summary",
    "monotone": "dose_response",
    "specific": "side_effect_summary",
    "collateral": "side_effect_summary",
    "decoy": "decoy_summary",
    "stable": "selection_stability",
    "tokens": "injection_summary",
    "crossfit": "crossfit_splits",
    "transfers": "transfer_summary",
}


def _judge_edit(analysis: Analysis, claim: EditClaim) -> Verdict:
    plan = analysis.plan
    metric = plan.spec.metric_of(claim)
    impacts = analysis.ablations[claim.edit]
    if metric != impacts.metric and isinstance(claim, MeasuredClaim):
        impacts = analysis.by_metric[claim.edit][metric]
    alpha, tag = plan.spec.contrast.alpha, plan.spec.cluster_of(claim)
    impacts = replace(impacts, units=units_of(plan, impacts.units.families, tag))
    mask = None
    if isinstance(claim, PartClaim) and claim.where:
        mask = asked_prompts(plan, impacts.ablation, claim)
        impacts = impacts.only(mask)
    if isinstance(claim, AblationClaim):
        return with_control_errors(judge_ablation(impacts, claim, alpha), impacts, claim, alpha)
    if isinstance(claim, CrossfitClaim):
        return analysis.crossfits[claim.name].verdict
    if isinstance(claim, DecoyClaim):
        rows, trait = analysis.decoys[claim.edit]
        trait = replace(trait, units=units_of(plan, trait.units.families, tag))
        of_decoys = partial(units_of, plan, tag=tag, file=claim.prompts)
        return judge_decoy(rows, claim, trait, alpha, of_decoys)
    if isinstance(claim, StableClaim):
        top = impacts.ablation.select.top
        return judge_stable(*analysis.stable[claim.edit], claim, top, alpha)
    if isinstance(claim, TokensClaim):
        found = analysis.tokens[claim.edit]
        units = units_of(plan, found.units.families, tag)
        return judge_tokens(replace(found, units=units), claim, alpha)
    if isinstance(claim, TransfersClaim):
        there = analysis.sources[claim.edit].sample(metric, tag)
        here = Sample(impacts.target, impacts.units, _texts(plan))
        return judge_transfers(here, there, claim, alpha, impacts.noise, impacts.unit)
    if isinstance(claim, MonotoneClaim):
        return judge_monotone(impacts, claim, alpha)
    if isinstance(claim, NeededClaim):
        return judge_needed(impacts, claim, alpha)
    if isinstance(claim, ComplementClaim) and claim.within_share is None:
        return judge_complement(impacts, None, claim, alpha)
    if isinstance(claim, ShareClaim | ComplementClaim):
        gap = _gap(analysis, impacts.ablation, metric)
        gap = gap if mask is None else gap[mask]
        if isinstance(claim, ComplementClaim):
            return judge_complement(impacts, gap, claim, alpha)
        return judge_share(impacts, gap, claim, alpha)
    assert isinstance(claim, SpecificClaim | CollateralClaim)
    file = claim.prompts if isinstance(claim, CollateralClaim) else ""
    of_file = partial(units_of, plan, tag=tag, file=file)
    return judge_side_effect(
        analysis.side_effects[claim.edit], claim, impacts, alpha, of_file, analysis.units
    )


def _texts(plan: Plan) -> dict[str, frozenset[str]]:
    """Every confirming prompt of each family."""
    texts: dict[str, set[str]] = {}
    for prompt in plan.of("confirmation"):
        texts.setdefault(prompt.family, set()).add(prompt.text)
    return {family: frozenset(some) for family, some in texts.items()}


def _gap(analysis: Analysis, ablation: Ablation, metric: str) -> Floats:
    """How far the other variant lies from the edited one in a metric, (n_prompts,) by id."""
    gaps = {}
    for pair in analysis.pairs:
        after = {label: analysis.behaviour[getattr(pair, label).id][metric] for label in LABELS}
        (other,) = {*LABELS} - {ablation.variant}
        gaps[getattr(pair, ablation.variant).id] = after[other] - after[ablation.variant]
    return np.array([gaps[prompt] for prompt in sorted(gaps)])


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
        without = analysis.baseline[prompt_id] if claim.beyond == "baseline" else {}
        return analysis.behaviour[prompt_id][claim.behaviour] - without.get(claim.behaviour, 0.0)

    pairs = [pair for pair in analysis.pairs if claim.asks_of(pair.correct)]
    correct = np.array([metric(pair.correct.id) for pair in pairs])
    confused = np.array([metric(pair.misconception.id) for pair in pairs])
    values = correct - confused if claim.contrast else (correct + confused) / 2
    plan = analysis.plan
    units = units_of(plan, [pair.family for pair in pairs], plan.spec.cluster_of(claim))
    direction = {"greater": 1, "less": -1, None: 0}[claim.direction]
    kind = kind_of(claim.behaviour, analysis.units)
    blank = Verdict(claim.name, "behaviour", kind.unit)
    alpha = plan.spec.contrast.alpha
    if claim.is_level and kind.bounds:
        return judge_level(blank, values, units, bound_of(claim), direction, alpha, kind.bounds)
    return judge_mean(blank, values, units, bound_of(claim), direction, alpha)
