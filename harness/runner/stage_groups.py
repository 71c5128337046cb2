"""What a plan's stages are made of: groups of units, each of which is a task, and their share of the work."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from harness.runner.grouping import group_units, prompts_together
from harness.specs.ablations import looks
from harness.specs.fields import RANDOM_SAE
from harness.specs.plan import Plan
from harness.specs.unit import ADDED_UP, Stage, Unit
from harness.specs.workload import OUTPUTS, StageWork, members_of, replays_of, workload


@dataclass(frozen=True)
class Grouping:
    """What decides how large groups are: `rows` of a forward, the device, and the model's parameters."""

    rows: int
    on_cpu: bool
    parameters: int


@dataclass(frozen=True)
class StageGroups:
    """The groups of a stage, or of one look of an ablation at its controls: `name` is that of its work.

    `tokens` pass through all of the model's blocks in all groups together, see `StageWork`. `rows` is how
    many rows a prompt of a file becomes, where these differ.
    """

    stage: Stage
    name: str
    part: int
    groups: tuple[tuple[Unit, ...], ...]
    tokens: float
    rows: Mapping[str, int]

    @property
    def label(self) -> str:
        """As a run's progress calls it."""
        return self.name + f", look {self.part + 1}" * bool(self.part)

    def shares(self) -> list[float]:
        """Each group's share of the work."""
        sizes = [sum(map(self._size, group)) for group in self.groups]
        return [size / sum(sizes) for size in sizes]

    def done(self, finished: Collection[str]) -> float:
        """The share of the work that is done where these units are."""
        units = [unit for group in self.groups for unit in group]
        there = sum(self._size(unit) for unit in units if unit.id in finished)
        return there / sum(map(self._size, units))

    def _size(self, unit: Unit) -> int:
        return len(unit.prompts) * self.rows.get(unit.file, 1)


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
        return
    replays = {file: _replays(plan, work, file) for file in plan.files_of(stage, work.ablation)}
    groups = tuple(
        group
        for file, some in replays.items()
        for group in _groups(plan.units(stage, work.ablation, file=file), stage, some, by)
    )
    if groups:
        rows = {file: 1 + some for file, some in replays.items()}
        yield StageGroups(stage, work.name, 0, groups, work.tokens, rows)


def _looks(plan: Plan, work: StageWork, by: Grouping) -> Iterator[StageGroups]:
    """Of an ablation: the first controls with all else, then the others look by look."""
    ablation = plan.ablation(work.ablation)
    own = replays_of(ablation)
    # What is replayed by itself makes groups no smaller: the untouched no-op, and random features.
    beside = own - ablation.controls - 1 - (RANDOM_SAE in ablation.baselines)
    before = 0
    for part, look in enumerate(looks(ablation)):
        together = look - before + beside * (not part)
        all_of_it = look - before + (work.replays - ablation.controls) * (not part)
        groups = _groups(plan.units("ablate", work.ablation, part), "ablate", together, by)
        if groups:
            tokens = work.tokens * all_of_it / work.replays
            yield StageGroups("ablate", work.name, part, groups, tokens, {})
        before = look


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
    size = prompts_together(
        stage, by.rows, on_cpu=by.on_cpu, parameters=by.parameters, replays=replays
    )
    return tuple(group_units(units, size))
