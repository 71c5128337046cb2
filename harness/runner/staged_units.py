"""The stages of one run, each in groups of units, of which the store keeps what is done."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.names import child
from harness.runner import checkpoint
from harness.runner.checkpoint import UNKEPT, Checkpoint
from harness.runner.context import Progress
from harness.runner.grouping import group_units
from harness.runner.stage_times import StageTimes
from harness.runner.sums import Sums, add_in_order
from harness.runner.tasks import Crew, Done, Task, Work
from harness.specs.ablations import looks
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.specs.unit import ADDED_UP, FOR_ITSELF, Stage, Unit
from harness.store.interface import RunStore
from harness.store.tables.columns import Columns
from harness.store.tables.runs import Units

ROWS = 200_000  # that wait to be committed, however fast they come
# Further arguments of the work on some prompts.
Given = Callable[[Sequence[Prompt]], Mapping[str, Any]]


class Stages:
    """The stages of one run: each takes its units in groups, and commits what is done by the clock.

    `rows` is the fewest that were in a forward, and `memory` the most bytes that a process took, of main
    memory and of a device's. `times` says where time went.
    """

    def __init__(self, crew: Crew, plan: Plan, store: RunStore, progress: Progress) -> None:
        self.crew, self._plan, self._store, self._progress = crew, plan, store, progress
        self._finished = store.finished(crew.run_id)
        self.rows = crew.start.batch_size
        self.memory: tuple[int, int] = (0, 0)
        self.times = StageTimes()
        # Of what adds up over all of a stage's prompts.
        self._sums = Checkpoint(_beside(store.path, crew.run_id))

    @property
    def checkpoint(self) -> Checkpoint:
        """Where a task that adds up by itself keeps what it has: here, or nowhere."""
        return self._sums if self.crew.executor.in_process else UNKEPT

    def run(
        self,
        name: Stage,
        work: Work,
        ablation: str = "",
        *,
        given: Given = lambda _: {},
        replays: int = 0,
        part: int = 0,
        file: str = "",
    ) -> None:
        """What is left of a stage; of a part of an ablation with so many `replays` of each prompt.

        Its prompts are those of a `file`, where it is not the spec's own. What is `given` besides is asked
        for each group by itself. Raises what stopped a group, after all others of the stage.
        """
        units = self._plan.units(name, ablation, part, file)
        named = {prompt.id: prompt for prompt in self._plan.prompts_of(file)}
        total = sum(map(_size, units))
        size = total if name in ADDED_UP else self.crew.together(name, replays)
        groups = list(group_units(units, size))
        left = [group for group in groups if any(one.id not in self._finished for one in group)]
        label = f"{name} {ablation}".strip() + f", look {part + 1}" * bool(part)
        told = _Told(self._progress, label, total, total - sum(map(_sizes, left)))
        at_work: dict[Task, tuple[Unit, ...]] = {}
        shared = name not in FOR_ITSELF or (
            name == "ablate" and len(looks(self._plan.ablation(ablation))) > 1
        )

        def tasks() -> Iterator[Task]:
            for index, group in enumerate(groups):
                if all(one.id in self._finished for one in group):
                    continue
                prompts = tuple(named[prompt] for unit in group for prompt in unit.prompts)
                task = Task(
                    label,
                    work,
                    prompts,
                    given(prompts),
                    size=len(prompts),
                    index=index,
                    label=file,
                    shared=shared,
                )
                at_work[task] = group
                yield task

        with self.times.of(label):
            self._gather(told, at_work, tasks(), len(left))
        if name in ADDED_UP:
            self._sums.remove()

    def add_up(
        self,
        name: Stage,
        parts: Sequence[Task],
        rows_of: Callable[[Sums], Iterable[Task]],
        ablation: str = "",
        *,
        beside: int = 0,
        each: bool = False,
    ) -> None:
        """A stage whose `parts` return sums, which are added up in their order.

        `rows_of` makes of all of it the tasks that return its rows, which are committed together with the
        ledger of its units, or `each` before it. They are of the size `beside`.
        """
        units = self._plan.units(name, ablation)
        label, total = f"{name} {ablation}".strip(), sum(map(_size, units))
        if all(unit.id in self._finished for unit in units):
            _Told(self._progress, label, total, total)
            return
        with self.times.of(label):
            self._add_up(units, label, parts, rows_of, beside, each=each)

    def _add_up(
        self,
        units: Sequence[Unit],
        label: str,
        parts: Sequence[Task],
        rows_of: Callable[[Sums], Iterable[Task]],
        beside: int,
        *,
        each: bool,
    ) -> None:
        began = time.monotonic()
        total = sum(map(_size, units))
        told = _Told(self._progress, label, total, 0, sum(part.size for part in parts) + beside)
        summed = add_in_order(self.crew, parts, self._sums, told.hear, told.advance, self._note)
        rows: list[Columns] = []
        for task, done in self.crew.results(list(rows_of(summed)), ordered=True, heard=told.hear):
            self._note(done)
            if done.error is not None:
                raise done.error
            if each:
                self._commit(done.value)
            else:
                rows += done.value
            told.advance(task)
        seconds = (time.monotonic() - began) / len(units)
        self._commit([*rows, _ledger(self.crew.run_id, units, seconds)])
        self._sums.remove()
        told.end()

    def _gather(
        self,
        told: "_Told",
        at_work: dict[Task, tuple[Unit, ...]],
        tasks: Iterable[Task],
        left: int,
    ) -> None:
        """Commit the rows of tasks as they end, with the ledger of the units that are `at_work`.

        Of those that are `left` the last one is told of when all rows are in.
        """
        waiting: list[Columns] = []
        held = 0
        errors: list[HarnessError] = []
        committed = time.monotonic()
        for task, done in self.crew.results(tasks, heard=told.hear):
            self._note(done)
            group = at_work.pop(task)
            if done.error is not None:
                errors.append(done.error)
                continue
            waiting += [*done.value, _ledger(self.crew.run_id, group, done.seconds / len(group))]
            left -= 1
            held += sum(map(len, done.value))
            due = held >= ROWS or time.monotonic() - committed >= checkpoint.EVERY
            if due or not left:
                self._commit(waiting)
                waiting, held, committed = [], 0, time.monotonic()
            told.advance(task)
        if waiting:
            self._commit(waiting)
        if errors:
            raise type(errors[0])(*(fault for error in errors for fault in error.faults))

    def _commit(self, rows: Sequence[Columns]) -> None:
        with self.times.storing():
            self._store.commit(*rows)

    def _note(self, done: Done) -> None:
        self.times.add(done)
        if done.rows:
            self.rows = min(self.rows, done.rows)
        main, device = (max(a, b or 0) for a, b in zip(self.memory, done.memory, strict=True))
        self.memory = main, device


class _Told:
    """How far a stage is, as its progress is told: in prompts, of which some are `done` before it begins.

    Where tasks are of another measure, `of` them stand for all of the prompts.
    """

    def __init__(self, progress: Progress, label: str, total: int, done: int, of: int = 0) -> None:
        self._progress, self._label, self._total = progress, label, total
        self._done, self._of = done, of or total
        self._tell(0)

    def hear(self, task: Task, part: int, whole: int) -> None:
        """So much of a task is done; of its end `advance` tells."""
        if part < whole:
            self._tell(task.size * part / whole)

    def advance(self, task: Task) -> None:
        """A task is done."""
        self._done += task.size
        self._tell(0)

    def end(self) -> None:
        """All is done."""
        if self._done < self._of:
            self._done = self._of
            self._tell(0)

    def _tell(self, within: float) -> None:
        # The product first: a share of 1/49 times 49 is rounded to less than 1.
        done = int(self._total * (self._done + within) / max(self._of, 1))
        self._progress(self._label, min(self._total, done), self._total)


def _beside(path: Path, run_id: str) -> Path:
    return child(path.parent, f"{path.name}.{run_id}", ".npz")


def _size(unit: Unit) -> int:
    return len(unit.prompts)


def _sizes(group: Sequence[Unit]) -> int:
    return sum(map(_size, group))


def _ledger(run_id: str, group: Sequence[Unit], seconds: float) -> Units:
    return Units.of(
        {
            "run_id": run_id,
            "unit_id": unit.id,
            "stage": unit.stage,
            "family": unit.family,
            "ablation": unit.ablation,
            "finished_at": datetime.now(UTC),
            "seconds": seconds,
        }
        for unit in group
    )
