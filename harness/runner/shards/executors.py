"""The executors of a shard, and of whoever joins the shards: both take from the folder what is there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from harness.errors import CannotRun, Fault, first_few
from harness.runner.shards.parts import Parts
from harness.runner.tasks import Done, Executor, HeardOf, Setup, Task


@dataclass(frozen=True)
class Sharded:
    """An `Executor` that does every so many-th task, `number` of `of`, counted from 1.

    Of tasks that are `shared` it gives all, and does those last that others could have done. All that it does
    is saved in the parts.
    """

    executor: Executor
    parts: Parts
    number: int
    of: int

    in_process = False

    def results(
        self, setup: Setup, tasks: Iterable[Task], *, ordered: bool, heard: HeardOf
    ) -> Iterator[tuple[Task, Done]]:
        """As `Executor.results`, of the tasks that are this shard's, or shared."""
        every = list(tasks)
        mine = [task for task in every if shard_of(task, self.of) == self.number]
        wanted = [task for task in every if task.shared or shard_of(task, self.of) == self.number]
        # Those of the next shard come first, so that shards that wait for the same do not do the same.
        turn = sorted(wanted, key=lambda one: ((one.index - self.number + 1) % self.of, one.index))
        others = [task for task in turn if shard_of(task, self.of) != self.number]
        errors: dict[Task, Done] = {}
        for task, done in chain(self._done(setup, mine, heard), self._done(setup, others, heard)):
            if not ordered:
                yield task, done
            elif done.error is not None:
                errors[task] = done
        for task in wanted if ordered else ():
            yield task, errors.get(task) or self.parts.load(task)

    def _done(
        self, setup: Setup, tasks: Iterable[Task], heard: HeardOf
    ) -> Iterator[tuple[Task, Done]]:
        """What became of tasks, from the folder where it is there by now."""
        there: list[Task] = []

        def missing() -> Iterator[Task]:
            for task in tasks:
                if self.parts.has(task):
                    there.append(task)
                else:
                    yield task

        for task, done in self.executor.results(setup, missing(), ordered=False, heard=heard):
            if done.error is None:
                self.parts.save(task, done)
            yield task, done
        for task in there:
            yield task, self.parts.load(task)


def shard_of(task: Task, of: int) -> int:
    """Which of so many shards a task is of, counted from 1."""
    return task.index % of + 1


@dataclass(frozen=True)
class Joined:
    """An `Executor` that does nothing: all is in the folder, by shards of which there are `of`."""

    parts: Parts
    of: int

    in_process = False

    def results(
        self,
        setup: Setup,  # noqa: ARG002 # as of all executors
        tasks: Iterable[Task],
        *,
        ordered: bool,  # noqa: ARG002
        heard: HeardOf,  # noqa: ARG002
    ) -> Iterator[tuple[Task, Done]]:
        """What the shards have done. Raises `CannotRun` where some of it is not there, before any of it."""
        every = list(tasks)
        if absent := [task for task in every if not self.parts.has(task)]:
            shards = sorted({shard_of(task, self.of) for task in absent})
            what = (
                f"{len(absent)} of {len(every)} parts of `{absent[0].stage}` are not there, of shard "
                f"{first_few(map(str, shards))} of {self.of}"
            )
            remedy = "wait for these shards or run them again, then import it again"
            raise CannotRun(Fault(str(self.parts.folder), what, remedy))
        for task in every:
            yield task, self.parts.load(task)
