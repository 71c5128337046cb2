"""The tasks of a run as they were done once, to be done again by others, or to be answered from memory."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.errors import Say
from harness.runner.context import How
from harness.runner.preparation import RunRequest
from harness.runner.run import run_eval
from harness.runner.tasks import Done, Engine, Fitted, HeardOf, Setup, Task
from harness.specs.spec_file import load
from harness.specs.targets import Target


class Recording:
    """An `Engine` that has another do all, and keeps what it was asked for and what came of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.fitted: Fitted | None = None
        self.done: list[tuple[Setup, Task, Done]] = []

    @property
    def in_process(self) -> bool:
        """As of the other."""
        return self._engine.in_process

    def fit(
        self,
        request: RunRequest,
        how: How,
        longest: int,
        *,
        check: Callable[[Target], None],
        say: Say,
    ) -> Fitted:
        """As `Engine.fit`."""
        self.fitted = self._engine.fit(request, how, longest, check=check, say=say)
        return self.fitted

    def told(self) -> str:
        """As `Engine.told`."""
        return self._engine.told()

    def stop(self) -> None:
        """As `Engine.stop`."""
        self._engine.stop()

    def results(
        self, setup: Setup, tasks: Iterable[Task], *, ordered: bool, heard: HeardOf
    ) -> Iterator[tuple[Task, Done]]:
        """As `Executor.results`."""
        for task, done in self._engine.results(setup, tasks, ordered=ordered, heard=heard):
            self.done.append((setup, task, done))
            yield task, done

    def of(self, stage: str) -> tuple[Setup, list[Task]]:
        """The tasks of a stage by its label, and the run that they are of."""
        found = [(setup, task) for setup, task, _ in self.done if task.stage == stage]
        return found[0][0], [task for _, task in found]


def record(spec: Path, db: Path, engine: Engine, how: How, target: str = "auto") -> Recording:
    """Run a spec into a new results file, and keep all that was done."""
    recording = Recording(engine)
    run_eval(load(spec), target, db=db, how=how, engine=recording, progress=lambda *_: None)
    return recording
