"""What is handed to whoever computes: a group of units as data, and the seam behind which it is done.

A task names a function of a module, what it is given, and some prompts, so it can be done in this process or
sent to another machine. Who does it decides none of its numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from harness.errors import HarnessError, Say
from harness.runner.context import How
from harness.runner.grouping import prompts_together
from harness.runner.preparation import RunRequest
from harness.runner.resume import RunStart
from harness.specs.prompt import Origin, Prompt
from harness.specs.targets import Target
from harness.specs.unit import Stage
from harness.store.frozen_sets import FrozenSets

# Makes something, of prompts by name if there are any: `work(context, prompts=prompts)`.
Work = Callable[..., Any]
# Hears that so much of so much of a task is done.
HeardOf = Callable[["Task", int, int], None]


@dataclass(frozen=True)
class Fitted:
    """What the loaded model tells of a run before it begins: `facts` are columns of its line.

    `on_cpu` is where it computes, and `parameters` is how many it has.
    """

    target: Target
    facts: Mapping[str, Any]
    on_cpu: bool
    parameters: int


@dataclass(frozen=True, eq=False)
class Setup:
    """All that makes a run anybody's: what is asked for, without its prompts, and where it has begun.

    `facts` are those of the process that the model was fitted in: another one must have the same.
    """

    request: RunRequest
    how: How
    start: RunStart | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """How many threads a task takes; 0 where nobody said."""
        return self.start.threads if self.start else self.how.threads


@dataclass(frozen=True, eq=False)
class Task:
    """Some work, on some prompts if any. `given` are further arguments of it, of this task alone.

    What is prepared once for the tasks of a `stage` is let go with the next. `size` is how much of the stage
    it is, `index` its place among all of the stage's, and `label` tells it from others of these prompts. What
    it returns is `shared` where more of the run follows from it than its own rows; it is rows, or `sums`.
    """

    stage: str
    work: Work
    prompts: tuple[Prompt, ...] | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    index: int = 0
    label: str = ""
    shared: bool = True
    sums: bool = False

    @property
    def arguments(self) -> Mapping[str, Any]:
        """All that its work is called with, by name, beside a context."""
        return self.given if self.prompts is None else {**self.given, "prompts": self.prompts}

    @property
    def name(self) -> str:
        """As a message names it."""
        if not self.prompts:
            return f"{self.stage}, {self.label}" if self.label else self.stage
        first, last = self.prompts[0].id, self.prompts[-1].id
        return f"{self.stage}, prompt {first}" + f" to {last}" * (first != last)


@dataclass(frozen=True)
class Done:
    """What became of a task: what its work returned, or the `error` that stopped it.

    `rows` is the fewest that were in a forward since memory ran out, `memory` the most bytes that its process
    has taken: of main memory, and of the device's. `worker` is the name of who did it, if it has one.
    """

    value: Any = None
    seconds: float = 0.0
    rows: int = 0
    memory: tuple[int | None, int | None] = (None, None)
    error: HarnessError | None = None
    worker: str = ""


class Executor(Protocol):
    """Does tasks, somewhere. Several runs may be given to it, each from a thread of its own."""

    @property
    def in_process(self) -> bool:
        """Whether tasks are done in this process, which has its disk."""
        ...

    def results(
        self, setup: Setup, tasks: Iterable[Task], *, ordered: bool, heard: HeardOf
    ) -> Iterator[tuple[Task, Done]]:
        """Every task with what became of it, as they end, or as they are given where that is `ordered`.

        Tasks are taken from the iterable a bounded number ahead. An error that is the spec's, the weights'
        or the device's is in `Done`, and ends no other task.
        """
        ...


class Engine(Executor, Protocol):
    """An `Executor` that has the model, or whose workers have it."""

    def fit(
        self,
        request: RunRequest,
        how: How,
        longest: int,
        *,
        check: Callable[[Target], None],
        say: Say,
    ) -> Fitted:
        """Load the model, once, and fit the target to it; the `longest` row has so many tokens.

        `check` hears of random SAEs in the place of the target's own. Raises `InputError` or `CannotRun`.
        """
        ...

    def told(self) -> str:
        """Who has done how much so far, in a few words; nothing where that is no news."""
        ...

    def stop(self) -> None:
        """End what is at work, as soon as may be: `results` that others wait for raise."""
        ...


@dataclass(frozen=True)
class Crew:
    """Who works for one run: an executor that knows what it is."""

    executor: Executor
    setup: Setup
    fitted: Fitted

    @property
    def start(self) -> RunStart:
        """Where the run has begun."""
        assert self.setup.start is not None
        return self.setup.start

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.start.run_id

    @property
    def origin(self) -> Origin:
        """Where its numbers are from."""
        return self.fitted.target.origin

    @property
    def sets(self) -> FrozenSets:
        """The features that ablations have from other evals."""
        return self.start.sets

    def at(self, start: RunStart) -> "Crew":
        """The same, once the run has begun."""
        return replace(self, setup=replace(self.setup, start=start))

    def together(self, stage: Stage, replays: int = 0) -> int:
        """How many prompts a stage works on together, see `prompts_together`."""
        asked = self.start.batch_size
        fitted = self.fitted
        return prompts_together(
            stage, asked, on_cpu=fitted.on_cpu, parameters=fitted.parameters, replays=replays
        )

    def results(
        self,
        tasks: Iterable[Task],
        *,
        ordered: bool = False,
        heard: HeardOf = lambda *_: None,
    ) -> Iterator[tuple[Task, Done]]:
        """As `Executor.results`."""
        return self.executor.results(self.setup, tasks, ordered=ordered, heard=heard)

    def call(self, stage: str, work: Work) -> Any:
        """What a single task of no prompts returns. Raises what stopped it."""
        ((_, done),) = self.results([Task(stage, work)])
        if done.error is not None:
            raise done.error
        return done.value
