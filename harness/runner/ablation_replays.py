"""The replays of an ablation: look by look at its controls, by themselves where they must, and beside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.analysis.ablation_impacts import ablation_impacts
from harness.analysis.ablation_rows import AblationRows
from harness.interventions.layer_edits import EditsByLayer
from harness.interventions.resampling import choose_sources, shuffled_sources
from harness.runner.context import RunContext
from harness.runner.prompt_replays import prepare_edits
from harness.runner.staged_units import Stages
from harness.runner.stages.ablate import Replay, ablate_each
from harness.runner.stages.baseline_directions import directions_of
from harness.runner.stages.random_features import edits_of
from harness.runner.stages.side_effects import side_effects
from harness.specs.ablations import Ablation, looks
from harness.specs.fields import RANDOM_SAE
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan, bare
from harness.specs.prompt import Prompt
from harness.store.interface import RunStore
from harness.store.tables.interventions import BaselineDirections, RandomFeatures

APART = ("shuffled", "complement")  # roles whose edits are replayed by themselves


@dataclass(frozen=True)
class Edits:
    """What interventions of one ablation do, with the stored `directions` of its baselines.

    The SAEs are read for it once, for all groups of prompts.
    """

    interventions: tuple[Intervention, ...]
    directions: BaselineDirections | None = None

    def __call__(self, context: RunContext) -> EditsByLayer:
        """By layer, see `prepare_edits`."""
        some = self.interventions

        def prepare() -> EditsByLayer:
            if self.directions is None:
                return prepare_edits(context, some)
            return prepare_edits(context, some, directions_of(context, self.directions))

        return context.once(("edits", tuple(one.id for one in some)), prepare)


@dataclass(frozen=True)
class RandomEdits:
    """The edit of random features, whose rows are stored: they are of another dictionary."""

    plan: Plan
    ablation: Ablation
    intervention: Intervention
    rows: RandomFeatures

    def __call__(self, context: RunContext) -> EditsByLayer:
        """By layer, see `edits_of`."""
        edit = self.intervention
        return context.once(
            ("edits", edit.id),
            lambda: edits_of(context, self.plan, self.ablation, edit, self.rows),
        )


# What is replayed, and the prompt that each prompt is resampled from, if any.
Replayed = tuple[Replay, Mapping[str, Prompt]]


def look_beside(
    stages: Stages, plan: Plan, ablation: Ablation, frozen: Sequence[Intervention]
) -> None:
    """Replay prompts on which the edit should do nothing, where claims ask for it."""
    for file in plan.files_beside(ablation.name):
        some = beside_of(ablation, frozen, file)
        replays = partial(side_effects, interventions=some, edits=Edits(some), file=file)
        stages.run("side effects", replays, ablation.name, replays=len(some), file=file)


def replay(
    stages: Stages,
    plan: Plan,
    ablation: Ablation,
    store: RunStore,
    frozen: Sequence[Intervention],
) -> None:
    """Replay the confirming prompts with every edit of an ablation, look by look."""
    run_id = stages.crew.run_id
    sources = choose_sources(plan, ablation)
    apart = [
        *_shuffled(plan, ablation, frozen),
        *_complement(frozen, sources),
        *_random(run_id, plan, ablation, store, frozen),
    ]
    for part, some in enumerate(_parts(ablation, frozen)):
        if part and _is_futile(run_id, plan, ablation, store, looks(ablation)[part - 1]):
            break
        stored = None
        if any(one.baseline for one in some):
            stored = store.read(BaselineDirections, run_id, ablation=ablation.name)
        together = [(Replay(some, Edits(some, stored)), sources), *(() if part else apart)]
        stages.run(
            "ablate",
            partial(ablate_each, replays=tuple(one for one, _ in together)),
            ablation.name,
            given=partial(_lent, [lent for _, lent in together]),
            replays=len(some),
            part=part,
        )


def _lent(
    sources: Sequence[Mapping[str, Prompt]], prompts: Sequence[Prompt]
) -> dict[str, list[dict[str, Prompt]]]:
    """Of the sources of each replay those of these prompts."""
    return {
        "sources": [
            {prompt.id: of[prompt.id] for prompt in prompts if prompt.id in of} for of in sources
        ]
    }


def _shuffled(plan: Plan, ablation: Ablation, frozen: Sequence[Intervention]) -> Iterator[Replayed]:
    """Each shuffled edit: by itself, since each has its own source of every prompt."""
    some = tuple(one for one in frozen if one.role == "shuffled")
    for one in some:
        # They edit the same features alike, and each of them is the first of its own replays.
        yield Replay((one,), Edits(some[:1])), shuffled_sources(plan, ablation, one.number)


def _complement(
    frozen: Sequence[Intervention], sources: Mapping[str, Prompt]
) -> Iterator[Replayed]:
    """The edit of all other features, if there is one: by itself, as it needs whole SAEs."""
    if some := tuple(one for one in frozen if one.role == "complement"):
        yield Replay(some, Edits(some)), sources


def _random(
    run_id: str,
    plan: Plan,
    ablation: Ablation,
    store: RunStore,
    frozen: Sequence[Intervention],
) -> Iterator[Replayed]:
    """The edit of random features, if there is one."""
    if some := tuple(one for one in frozen if one.baseline == RANDOM_SAE):
        rows = store.read(RandomFeatures, run_id, ablation=ablation.name)
        yield Replay(some, RandomEdits(bare(plan), ablation, some[0], rows)), {}


def _is_apart(one: Intervention) -> bool:
    return one.role in APART or one.baseline == RANDOM_SAE


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


def _is_futile(run_id: str, plan: Plan, ablation: Ablation, store: RunStore, look: int) -> bool:
    """Whether the controls up to a look put the target in their middle.

    A run that is taken up again may have some rows of later ones: they decide nothing here.
    """
    rows = AblationRows.read(store, run_id, ablation.name)
    seen = (one for one in rows.interventions if one.role != "control" or one.number < look)
    rows = replace(rows, interventions=tuple(seen))
    return ablation_impacts(plan, ablation, rows).impacts[plan.spec.metric].is_futile
