"""A plan's units through a model into the store: observe, select, freeze, replay, trace.

Units that the store has already are not computed again, so an unfinished run is taken up where it
stopped.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from harness.analysis.controls import balance_of, candidates_of
from harness.analysis.pairs import read_pairs
from harness.analysis.selection import (
    FeatureScores,
    attribution_scores,
    contrast_scores,
    select_interventions,
    strongest_features,
    truth_scores,
)
from harness.errors import CannotRun, Fault
from harness.models.adaptive_batching import try_again
from harness.models.prompt_rows import PromptRows
from harness.names import child
from harness.runner.ablation_replays import look_beside, replay
from harness.runner.checkpoint import Checkpoint
from harness.runner.context import Progress, RunContext
from harness.runner.feature_logits import feature_logits
from harness.runner.output_scores import output_scores
from harness.runner.staged_units import Stages, Work, together
from harness.runner.stages.attribute import attribute
from harness.runner.stages.baseline import baseline
from harness.runner.stages.baseline_directions import baseline_directions
from harness.runner.stages.decoys import decoys
from harness.runner.stages.generate import generate
from harness.runner.stages.inject import inject, tokens_of
from harness.runner.stages.observe import observe
from harness.runner.stages.profile import profile
from harness.runner.stages.random_features import find_random_features
from harness.runner.stages.survey import survey
from harness.runner.stages.tokens import tokens
from harness.runner.stages.trace import trace
from harness.runner.traced_features import prepare_trace
from harness.specs.ablations import Ablation
from harness.specs.fields import RANDOM_SAE
from harness.specs.intervention import Feature, Intervention
from harness.specs.known_features import load_truth
from harness.specs.plan import Plan
from harness.specs.unit import ADDED_UP, Stage
from harness.store.interface import RunStore
from harness.store.interventions import intervention_rows, interventions_of
from harness.store.tables.interventions import ControlBalance, InjectedTokens, Interventions
from harness.store.tables.observations import (
    Attributions,
    EditActivity,
    FeatureActivity,
    FeatureLogits,
)

STRONGEST = 20  # features of the contrast that are traced, beside those that are edited


def execute(context: RunContext, plan: Plan, store: RunStore, progress: Progress) -> None:
    """Everything that needs the model. The run and its prompts are in the store already.

    Raises `CannotRun` where it cannot go on; what is committed stays.
    """
    stages = Stages(context, plan, store, progress)
    # Of what adds up over all of a stage's prompts.
    sums = Checkpoint(child(store.path.parent, f"{store.path.name}.{context.run_id}", ".npz"))
    adding = partial(partial, together=together(context, "survey"), checkpoint=sums)

    def stage(name: Stage, *args: Any, **values: Any) -> None:
        stages.run(name, *args, **values)
        if name in ADDED_UP:
            sums.remove()

    stage("observe", partial(observe, plan=plan))
    if plan.baselines:
        stage("baseline", baseline)
    if plan.spec.new_tokens:
        stage("generate", partial(generate, plan=plan))
    if plan.layers:
        stage("survey", adding(survey, plan=plan))
    edited: set[Feature] = set()
    for ablation in plan.ablations:
        edited |= {*_edit(context, plan, ablation, store, stage, adding).features}
    for refit in plan.refits:
        for ablation in refit.ablations:
            _edit(context, refit, ablation, store, stage, adding)
    if plan.layers:
        traced = cache(lambda: prepare_trace(context, edited | _strongest(context, plan, store)))
        stage("trace", partial(trace, features=traced))
        # Of no prompt, so of no unit: written once, as the interventions are.
        if not len(store.read(FeatureLogits, context.run_id)):
            logits = try_again(context.limit, lambda: feature_logits(context, traced()))
            scores = try_again(context.limit, lambda: output_scores(context, traced(), logits))
            store.commit(logits, scores)


def _edit(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    store: RunStore,
    stage: Callable[..., None],
    adding: Callable[..., Work],
) -> Intervention:
    """Everything of one ablation: its target is selected, frozen, edited, and read on other files.

    On another split features are candidates that fire where the spec's own split discovers: by that alone
    have prompts that confirm there a say, and neither by their labels nor by what they answer.
    """
    predicts = ablation.select.by == "attribution"
    if predicts:
        stage("attribute", partial(attribute, plan=plan, ablation=ablation), ablation.name)
    _refuse_zero_by_construction(context, plan, ablation)
    taken = _taken(context, ablation)
    stage("profile", adding(profile, plan=plan, ablation=ablation, also=taken), ablation.name)
    frozen = _freeze_interventions(context, plan, ablation, store)
    if predicts:
        # What the same prediction says of the confirming families, to be held against the truth.
        every = {feature for one in frozen for feature in one.features}
        work = partial(attribute, plan=plan, ablation=ablation, features=every)
        stage("predict", work, ablation.name)
    target = _target(frozen)
    _make_baselines(plan, ablation, frozen, stage)
    replay(context, plan, ablation, store, stage, frozen)
    look_beside(context, plan, ablation, frozen, stage)
    _read_elsewhere(context, plan, target, store, stage, adding)
    return target


def _make_baselines(
    plan: Plan, ablation: Ablation, frozen: Sequence[Intervention], stage: Callable[..., None]
) -> None:
    """What the target must beat, of the discovery families."""
    one = _target(frozen)
    if ablation.directed:
        work = partial(baseline_directions, plan=plan, ablation=ablation, target=one)
        stage("baseline directions", work, ablation.name)
    for edit in frozen:
        if edit.baseline == RANDOM_SAE:
            found = partial(find_random_features, plan=plan, ablation=ablation, edit=edit)
            stage("random features", partial(found, target=one), ablation.name)


def _target(frozen: Sequence[Intervention]) -> Intervention:
    (target,) = (one for one in frozen if one.role == "target")
    return target


def _refuse_zero_by_construction(context: RunContext, plan: Plan, ablation: Ablation) -> None:
    """Only now is it known how many tokens the answers have: one is read before it is edited."""
    if ablation.positions != "answer":
        return
    rows = PromptRows(context.model, plan.of("confirmation"))
    if all(len(answer) == 1 for row in rows.tokens for answer in row.answers):
        raise CannotRun(
            Fault(
                f"{plan.spec.name}, ablation {ablation.name}",
                "the impact is zero by construction: every answer is one token, which the metric "
                "reads before any answer position",
                "edit at positions: prompt or all",
            )
        )


def _read_elsewhere(
    context: RunContext,
    plan: Plan,
    target: Intervention,
    store: RunStore,
    stage: Callable[..., None],
    adding: Callable[..., Work],
) -> None:
    """What the target's features are on other files: on decoys, and in neutral texts with their tokens."""
    ablation = plan.ablation(target.ablation)
    for file in plan.decoys_of(ablation.name):
        work = partial(decoys, plan=plan, target=target, file=file)
        stage("decoys", work, ablation.name, file=file)
    if not ablation.tokens:
        return
    stage("tokens", adding(tokens, plan=plan, ablation=ablation, target=target), ablation.name)
    strongest = tokens_of(store.read(InjectedTokens, context.run_id, ablation=ablation.name))
    features = cache(lambda: prepare_trace(context, strongest))
    for file in plan.files_of("inject", ablation.name) if strongest else ():
        work = partial(inject, ablation=ablation, strongest=strongest, features=features, file=file)
        copies = 1 + sum(map(len, strongest.values())) * len(ablation.tokens.at)
        stage("inject", work, ablation.name, replays=copies, file=file)


def _freeze_interventions(
    context: RunContext, plan: Plan, ablation: Ablation, store: RunStore
) -> tuple[Intervention, ...]:
    """The ablation's interventions: chosen once, then read from the store ever after."""
    rows = store.read(Interventions, context.run_id, ablation=ablation.name)
    if not len(rows):
        activity = store.read(FeatureActivity, context.run_id)
        edited = store.read(EditActivity, context.run_id, ablation=ablation.name)
        scores = _scores(context, plan, ablation, store)
        taken = _taken(context, ablation)
        chosen = select_interventions(plan, ablation, scores, activity, edited, taken)
        store.commit(
            intervention_rows(chosen, context.run_id, context.origin),
            _balance(context, ablation, chosen, activity, edited),
        )
        rows = store.read(Interventions, context.run_id, ablation=ablation.name)
    return interventions_of(rows)


def _taken(context: RunContext, ablation: Ablation) -> tuple[Feature, ...]:
    """The features that another eval froze for an ablation; none where they are selected here."""
    return context.sets[ablation.name].features if ablation.select.source else ()


def _balance(
    context: RunContext,
    ablation: Ablation,
    chosen: Sequence[Intervention],
    activity: FeatureActivity,
    edited: EditActivity,
) -> ControlBalance:
    (target,) = (one.features for one in chosen if one.role == "target")
    controls = [one.features for one in chosen if one.role == "control"]
    found = balance_of(candidates_of(ablation, activity, edited), target, controls)
    common = {"run_id": context.run_id, "ablation": ablation.name, "origin": context.origin}
    return ControlBalance.of(common | vars(one) for one in found)


def _scores(context: RunContext, plan: Plan, ablation: Ablation, store: RunStore) -> FeatureScores:
    """What the features are ranked by, from the discovery families alone."""
    if ablation.select.by == "contrast":
        discovery = read_pairs(store, plan, "discovery", context.run_id)
        activity = store.read(FeatureActivity, context.run_id)
        return contrast_scores(plan, ablation, discovery, activity)
    if ablation.select.by == "attribution":
        rows = store.read(Attributions, context.run_id, ablation=ablation.name)
        return attribution_scores(rows, plan.families("discovery"))
    if ablation.select.by == "truth":
        return truth_scores(load_truth(plan.target) or ())
    return {}


def _strongest(context: RunContext, plan: Plan, store: RunStore) -> set[Feature]:
    """The features of the confirming families' contrast that a reader will ask about."""
    confirmation = read_pairs(store, plan, "confirmation", context.run_id)
    return set(strongest_features(plan, confirmation, STRONGEST))
