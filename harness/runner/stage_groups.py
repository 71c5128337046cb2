"""What a plan's stages are made of: groups of units, each of which is a task, and their share of the work."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.runner.estimate import LOSSES
from harness.runner.grouping import group_units, prompts_together
from harness.runner.stages.survey import SAMPLE
from harness.specs.ablations import looks
from harness.specs.fields import RANDOM_SAE
from harness.specs.plan import Plan
from harness.specs.unit import ADDED_UP, Stage, Unit
from harness.specs.workload import OUTPUTS, StageWork, members_of, replays_of, workload

BY_LAYER = "by layer"  # the part of a survey that comes last


@dataclass(frozen=True)
class Grouping:
    """What decides how large groups are: `rows` of a forward, the device, and the model's parameters."""

    rows: int
    on_cpu: bool
    parameters: int


@dataclass(frozen=True)
class StageGroups:
    """The groups of a stage, or of a part of it that follows another: `name` is that of the stage's work.

    `sizes` are the groups' in any measure; `tokens` pass through all of the model's blocks in all of them
    together, see `StageWork`. `rows` is how many rows a prompt of a file becomes, where these differ. Of what
    adds up over prompts `layers` is of how many it writes the rows.
    """

    stage: Stage
    name: str
    part: str
    sizes: tuple[int, ...]
    units: tuple[Unit, ...]
    tokens: float
    rows: Mapping[str, int] = field(default_factory=dict)
    layers: int = 0

    @property
    def label(self) -> str:
        """As a run's progress calls it."""
        return f"{self.name}, {self.part}" if self.part else self.name

    def done(self, finished: Collection[str]) -> float:
        """The share of the work that is done where these units are."""
        there = _size([unit for unit in self.units if unit.id in finished], self.rows)
        return there / _size(self.units, self.rows)


def _size(units: Iterable[Unit], rows: Mapping[str, int]) -> int:
    """Prompts, or the rows that they become."""
    return sum(len(unit.prompts) * rows.get(unit.file, 1) for unit in units)


def stage_groups(plan: Plan, by: Grouping) -> tuple[StageGroups, ...]:
    """The groups of every stage of a plan, in the order of its stages; of an ablation those of every look.

    As many as there are at most: a run may end an ablation at a look.
    """
    work = [one for one in workload(plan) if one.stage != OUTPUTS]
    return tuple(part for one in work for part in _parts(plan, one, by))


def _parts(plan: Plan, work: StageWork, by: Grouping) -> Iterator[StageGroups]:
    stage = work.stage
    assert stage != OUTPUTS
    if stage == "ablate":
        yield from _looks(plan, work, by)
    elif stage in ("survey", "profile"):
        yield from _added_up(plan, work, stage, by)
    else:
        replays = {file: _replays(plan, work, file) for file in plan.files_of(stage, work.ablation)}
        rows = {file: 1 + some for file, some in replays.items()}
        groups = [
            group
            for file, some in replays.items()
            for group in _groups(plan.units(stage, work.ablation, file=file), stage, some, by)
        ]
        layers = len(plan.layers) * (stage in ADDED_UP)
        yield from _made(stage, work.name, "", groups, work.tokens, rows, layers)


def _made(
    stage: Stage,
    name: str,
    part: str,
    groups: Sequence[Sequence[Unit]],
    tokens: float,
    rows: Mapping[str, int],
    layers: int = 0,
) -> Iterator[StageGroups]:
    """A stage of these groups of units, if there are any."""
    if groups:
        sizes = tuple(_size(group, rows) for group in groups)
        units = tuple(unit for group in groups for unit in group)
        yield StageGroups(stage, name, part, sizes, units, tokens, rows, layers)


def _looks(plan: Plan, work: StageWork, by: Grouping) -> Iterator[StageGroups]:
    """Of an ablation: the first controls with all else, then the others look by look."""
    ablation = plan.ablation(work.ablation)
    own = replays_of(ablation)
    # What is replayed by itself makes groups no smaller: the untouched no-op, and random features.
    beside = own - ablation.controls - 1 - (RANDOM_SAE in ablation.baselines)
    before = 0
    for number, look in enumerate(looks(ablation)):
        together = look - before + beside * (not number)
        all_of_it = look - before + (work.replays - ablation.controls) * (not number)
        groups = _groups(plan.units("ablate", work.ablation, number), "ablate", together, by)
        tokens = work.tokens * all_of_it / work.replays
        part = f"look {number + 1}" * bool(number)
        yield from _made("ablate", work.name, part, groups, tokens, {})
        before = look


def _added_up(plan: Plan, work: StageWork, stage: Stage, by: Grouping) -> Iterator[StageGroups]:
    """Of what adds up: sums over so many texts, and, of a survey, each layer by itself after them."""
    units = plan.units(stage, work.ablation)
    size = _together("survey", 0, by)
    groups = tuple(min(size, work.rows - first) for first in range(0, work.rows, size))
    if not groups:
        return
    layers = len(plan.layers)
    if stage != "survey":
        yield StageGroups(stage, work.name, "", groups, units, work.tokens, layers=layers)
        return
    yield StageGroups(stage, work.name, "", groups, units, work.tokens)
    # A layer's losses are those of a forward and replays of a sample.
    sample = min(SAMPLE, work.tokens) * LOSSES * layers
    yield StageGroups(stage, work.name, BY_LAYER, (1,) * layers, units, sample, layers=layers)


def _replays(plan: Plan, work: StageWork, file: str) -> int:
    """Rows that a prompt becomes in a stage's groups; 0 where it is one, as itself."""
    if work.stage == "side effects":
        # On the other variant no controls are replayed.
        return 1 + looks(plan.ablation(work.ablation))[0] * bool(file)
    if work.stage == "inject":
        ablation = plan.ablation(work.ablation)
        wanted = ablation.tokens
        assert wanted is not None
        return 1 + members_of(ablation) * len(wanted.at) * wanted.grams
    return 0


def _groups(
    units: tuple[Unit, ...], stage: Stage, replays: int, by: Grouping
) -> tuple[tuple[Unit, ...], ...]:
    if stage in ADDED_UP:
        return (units,) if units else ()
    return tuple(group_units(units, _together(stage, replays, by)))


def _together(stage: Stage, replays: int, by: Grouping) -> int:
    return prompts_together(
        stage, by.rows, on_cpu=by.on_cpu, parameters=by.parameters, replays=replays
    )
