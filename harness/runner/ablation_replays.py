"""The replays of an ablation: look by look at its controls, by themselves where they must, and beside."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

from harness.analysis.ablation_impacts import ablation_impacts
from harness.analysis.ablation_rows import AblationRows
from harness.interventions.layer_edits import EditsByLayer
from harness.interventions.resampling import choose_sources, shuffled_sources
from harness.runner.context import RunContext
from harness.runner.prompt_replays import prepare_edits
from harness.runner.staged_units import Work
from harness.runner.stages.ablate import ablate
from harness.runner.stages.baseline_directions import directions_of
from harness.runner.stages.random_features import edits_of
from harness.runner.stages.side_effects import side_effects
from harness.specs.ablations import Ablation, looks
from harness.specs.fields import RANDOM_SAE
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.interface import RunStore
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import BaselineDirections, RandomFeatures

APART = ("shuffled", "complement")  # roles whose edits are replayed by themselves


def look_beside(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    frozen: Sequence[Intervention],
    stage: Callable[..., None],
) -> None:
    """Replay prompts on which the edit should do nothing, where claims ask for it."""
    for file in plan.files_beside(ablation.name):
        some = beside_of(ablation, frozen, file)
        edits = cache(partial(prepare_edits, context, some))
        replays = partial(side_effects, interventions=some, edits=edits, file=file)
        stage("side effects", replays, ablation.name, replays=len(some), file=file)


def _edits(context: RunContext, some: Sequence[Intervention], store: RunStore) -> EditsByLayer:
    """What these interventions of one ablation do, with the stored directions of its baselines."""
    if not any(one.baseline for one in some):
        return prepare_edits(context, some)
    stored = store.read(BaselineDirections, context.run_id, ablation=some[0].ablation)
    return prepare_edits(context, some, directions_of(context, stored))


def replay(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    store: RunStore,
    stage: Callable[..., None],
    frozen: Sequence[Intervention],
) -> None:
    """Replay the confirming prompts with every edit of an ablation, look by look."""
    sources = choose_sources(plan, ablation)
    apart = [
        *_shuffled(context, plan, ablation, frozen),
        *_complement(context, frozen, sources),
        *_random(context, plan, ablation, store, frozen),
    ]
    for part, some in enumerate(_parts(ablation, frozen)):
        if part and _is_futile(context, plan, ablation, store, looks(ablation)[part - 1]):
            break
        # The SAEs are read once for all groups of prompts, and only if one is left to do.
        edits = cache(partial(_edits, context, some, store))
        own = partial(ablate, interventions=some, edits=edits, sources=sources)
        replays = _with_others(own, () if part else apart)
        stage("ablate", replays, ablation.name, replays=len(some), part=part)


def _shuffled(
    context: RunContext, plan: Plan, ablation: Ablation, frozen: Sequence[Intervention]
) -> list[Work]:
    """What replays each shuffled edit: by itself, since each has its own source of every prompt."""
    some = [one for one in frozen if one.role == "shuffled"]
    # They edit the same features alike, and each of them is the first of its own replays.
    edits = cache(lambda: prepare_edits(context, some[:1]))
    return [
        partial(
            ablate,
            interventions=[one],
            edits=edits,
            sources=shuffled_sources(plan, ablation, one.number),
        )
        for one in some
    ]


def _complement(
    context: RunContext, frozen: Sequence[Intervention], sources: Mapping[str, Prompt]
) -> list[Work]:
    """What replays the edit of all other features, if there is one: by itself, as it needs whole SAEs."""
    some = [one for one in frozen if one.role == "complement"]
    edits = cache(lambda: prepare_edits(context, some))
    return [partial(ablate, interventions=some, edits=edits, sources=sources)] if some else []


def _random(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    store: RunStore,
    frozen: Sequence[Intervention],
) -> list[Work]:
    """What replays the edit of random features, if there is one: they are of another dictionary."""
    some = [one for one in frozen if one.baseline == RANDOM_SAE]

    def made() -> EditsByLayer:
        rows = store.read(RandomFeatures, context.run_id, ablation=ablation.name)
        return edits_of(context, plan, ablation, some[0], rows)

    return [partial(ablate, interventions=some, edits=cache(made), sources={})] if some else []


def _is_apart(one: Intervention) -> bool:
    return one.role in APART or one.baseline == RANDOM_SAE


def _with_others(replays: Work, apart: Sequence[Work]) -> Work:
    """What makes the rows of an ablation's first part, and of edits that are replayed `apart` from it."""

    def work(context: RunContext, prompts: Sequence[Prompt]) -> list[Columns]:
        silent = replace(context, heard=lambda *_: None)
        rows = replays(context, prompts=prompts)
        return [*rows, *(more for one in apart for more in one(silent, prompts=prompts))]

    return work


def _parts(
    ablation: Ablation, frozen: Sequence[Intervention]
) -> Iterator[tuple[Intervention, ...]]:
    """What is replayed together up to each look at the controls: all else with the first of them."""
    controls = [one for one in frozen if one.role == "control"]
    others = tuple(one for one in frozen if one.role != "control" and not _is_apart(one))
    before = 0
    for look in looks(ablation):
        some = tuple(controls[before:look])
        if others or some:
            yield (*others, *some)
        others, before = (), look


def beside_of(
    ablation: Ablation, frozen: Sequence[Intervention], file: str
) -> tuple[Intervention, ...]:
    """What is replayed where nothing should happen: the target, and on another file its first controls."""
    first = looks(ablation)[0] if file else 0
    return tuple(
        one
        for one in frozen
        if one.role == "target" or (one.role == "control" and one.number < first)
    )


def _is_futile(
    context: RunContext, plan: Plan, ablation: Ablation, store: RunStore, look: int
) -> bool:
    """Whether the controls up to a look put the target in their middle.

    A run that is taken up again may have some rows of later ones: they decide nothing here.
    """
    rows = AblationRows.read(store, context.run_id, ablation.name)
    seen = (one for one in rows.interventions if one.role != "control" or one.number < look)
    rows = replace(rows, interventions=tuple(seen))
    return ablation_impacts(plan, ablation, rows).impacts[plan.spec.metric].is_futile
