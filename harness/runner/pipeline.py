"""A plan's units through a model into the store: observe, select, freeze, replay, trace.

Units that the store has already are not computed again, so an unfinished run is taken up where it
stopped.
"""

from collections.abc import Sequence
from functools import partial

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
from harness.runner.ablation_replays import look_beside, replay
from harness.runner.added_stages import add_up_profile, add_up_survey
from harness.runner.answer_checks import longest_answer
from harness.runner.context import Progress
from harness.runner.output_scores import meanings
from harness.runner.staged_units import Stages
from harness.runner.stages.attribute import attribute
from harness.runner.stages.baseline import baseline
from harness.runner.stages.baseline_directions import baseline_directions
from harness.runner.stages.decoys import decoys
from harness.runner.stages.generate import generate
from harness.runner.stages.inject import inject, tokens_of
from harness.runner.stages.observe import observe
from harness.runner.stages.random_features import find_random_features
from harness.runner.stages.tokens import tokens
from harness.runner.stages.trace import trace
from harness.runner.tasks import Crew
from harness.specs.ablations import Ablation
from harness.specs.fields import RANDOM_SAE
from harness.specs.intervention import Feature, Intervention
from harness.specs.known_features import load_truth
from harness.specs.plan import Plan, bare
from harness.specs.prompt import Prompt
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


def execute(crew: Crew, plan: Plan, store: RunStore, progress: Progress) -> Stages:
    """Everything that needs the model; the stages, which know what they took.

    The run and its prompts are in the store already. Raises `CannotRun` where it cannot go on; what is
    committed stays.
    """
    stages = Stages(crew, plan, store, progress)
    alone = bare(plan)
    stages.run("observe", partial(observe, plan=alone))
    if plan.baselines:
        stages.run("baseline", baseline)
    if plan.spec.new_tokens:
        stages.run("generate", partial(generate, plan=alone))
    if plan.layers:
        add_up_survey(stages, plan, store)
    edited: set[Feature] = set()
    for ablation in plan.ablations:
        edited |= {*_edit(stages, plan, ablation, store).features}
    for refit in plan.refits:
        for ablation in refit.ablations:
            _edit(stages, refit, ablation, store)
    if plan.layers:
        traced = frozenset(edited | _strongest(crew.run_id, plan, store))
        stages.run("trace", partial(trace, features=traced))
        # Of no prompt, so of no unit: written once, as the interventions are.
        if not len(store.read(FeatureLogits, crew.run_id)):
            store.commit(*crew.call("output scores", partial(meanings, features=traced)))
    return stages


def _edit(stages: Stages, plan: Plan, ablation: Ablation, store: RunStore) -> Intervention:
    """Everything of one ablation: its target is selected, frozen, edited, and read on other files.

    On another split features are candidates that fire where the spec's own split discovers: by that alone
    have prompts that confirm there a say, and neither by their labels nor by what they answer.
    """
    crew, alone = stages.crew, bare(plan)
    predicts = ablation.select.by == "attribution"
    if predicts:
        work = partial(attribute, plan=alone, ablation=ablation)
        stages.run("attribute", work, ablation.name)
    _refuse_zero_by_construction(crew, plan, ablation)
    add_up_profile(stages, plan, ablation, _taken(crew, ablation))
    frozen = _freeze_interventions(crew, plan, ablation, store)
    if predicts:
        # What the same prediction says of the confirming families, to be held against the truth.
        every = frozenset(feature for one in frozen for feature in one.features)
        work = partial(attribute, plan=alone, ablation=ablation, features=every)
        stages.run("predict", work, ablation.name)
    target = _target(frozen)
    _make_baselines(stages, plan, ablation, frozen)
    replay(stages, plan, ablation, store, frozen)
    look_beside(stages, plan, ablation, frozen)
    _read_elsewhere(stages, plan, target, store)
    return target


def _make_baselines(
    stages: Stages, plan: Plan, ablation: Ablation, frozen: Sequence[Intervention]
) -> None:
    """What the target must beat, of the discovery families."""
    target = _target(frozen)
    given = partial(_with_partners, plan)
    if ablation.directed:
        work = partial(baseline_directions, ablation=ablation, target=target)
        stages.run("baseline directions", work, ablation.name, given=given)
    for edit in frozen:
        if edit.baseline == RANDOM_SAE:
            work = partial(find_random_features, ablation=ablation, edit=edit, target=target)
            stages.run("random features", work, ablation.name, given=given)


def _with_partners(plan: Plan, prompts: Sequence[Prompt]) -> dict[str, Plan]:
    """The plan of the pairs of some prompts, both variants of them."""
    pairs = {prompt.pair_id for prompt in prompts}
    return {"plan": bare(plan, [one for one in plan.prompts if one.pair_id in pairs])}


def _target(frozen: Sequence[Intervention]) -> Intervention:
    (target,) = (one for one in frozen if one.role == "target")
    return target


def _refuse_zero_by_construction(crew: Crew, plan: Plan, ablation: Ablation) -> None:
    """Only now is it known how many tokens the answers have: one is read before it is edited."""
    if ablation.positions == "answer" and longest_answer(crew, plan.of("confirmation")) == 1:
        raise CannotRun(
            Fault(
                f"{plan.spec.name}, ablation {ablation.name}",
                "the impact is zero by construction: every answer is one token, which the metric "
                "reads before any answer position",
                "edit at positions: prompt or all",
            )
        )


def _read_elsewhere(stages: Stages, plan: Plan, target: Intervention, store: RunStore) -> None:
    """What the target's features are on other files: on decoys, and in neutral texts with their tokens."""
    ablation = plan.ablation(target.ablation)
    for file in plan.decoys_of(ablation.name):
        work = partial(decoys, plan=bare(plan), target=target, file=file)
        stages.run("decoys", work, ablation.name, file=file)
    if not ablation.tokens:
        return
    work = partial(tokens, ablation=ablation, target=target, checkpoint=stages.checkpoint)
    stages.run("tokens", work, ablation.name)
    stored = store.read(InjectedTokens, stages.crew.run_id, ablation=ablation.name)
    strongest = tokens_of(stored)
    for file in plan.files_of("inject", ablation.name) if strongest else ():
        work = partial(inject, ablation=ablation, strongest=strongest, file=file)
        copies = 1 + sum(map(len, strongest.values())) * len(ablation.tokens.at)
        stages.run("inject", work, ablation.name, replays=copies, file=file)


def _freeze_interventions(
    crew: Crew, plan: Plan, ablation: Ablation, store: RunStore
) -> tuple[Intervention, ...]:
    """The ablation's interventions: chosen once, then read from the store ever after."""
    rows = store.read(Interventions, crew.run_id, ablation=ablation.name)
    if not len(rows):
        activity = store.read(FeatureActivity, crew.run_id)
        edited = store.read(EditActivity, crew.run_id, ablation=ablation.name)
        scores = _scores(crew, plan, ablation, store)
        taken = _taken(crew, ablation)
        chosen = select_interventions(plan, ablation, scores, activity, edited, taken)
        store.commit(
            intervention_rows(chosen, crew.run_id, crew.origin),
            _balance(crew, ablation, chosen, activity, edited),
        )
        rows = store.read(Interventions, crew.run_id, ablation=ablation.name)
    return interventions_of(rows)


def _taken(crew: Crew, ablation: Ablation) -> tuple[Feature, ...]:
    """The features that another eval froze for an ablation; none where they are selected here."""
    return crew.sets[ablation.name].features if ablation.select.source else ()


def _balance(
    crew: Crew,
    ablation: Ablation,
    chosen: Sequence[Intervention],
    activity: FeatureActivity,
    edited: EditActivity,
) -> ControlBalance:
    (target,) = (one.features for one in chosen if one.role == "target")
    controls = [one.features for one in chosen if one.role == "control"]
    found = balance_of(candidates_of(ablation, activity, edited), target, controls)
    common = {"run_id": crew.run_id, "ablation": ablation.name, "origin": crew.origin}
    return ControlBalance.of(common | vars(one) for one in found)


def _scores(crew: Crew, plan: Plan, ablation: Ablation, store: RunStore) -> FeatureScores:
    """What the features are ranked by, from the discovery families alone."""
    if ablation.select.by == "contrast":
        discovery = read_pairs(store, plan, "discovery", crew.run_id)
        activity = store.read(FeatureActivity, crew.run_id)
        return contrast_scores(plan, ablation, discovery, activity)
    if ablation.select.by == "attribution":
        rows = store.read(Attributions, crew.run_id, ablation=ablation.name)
        return attribution_scores(rows, plan.families("discovery"))
    if ablation.select.by == "truth":
        return truth_scores(load_truth(plan.target) or ())
    return {}


def _strongest(run_id: str, plan: Plan, store: RunStore) -> set[Feature]:
    """The features of the confirming families' contrast that a reader will ask about."""
    confirmation = read_pairs(store, plan, "confirmation", run_id)
    return set(strongest_features(plan, confirmation, STRONGEST))
