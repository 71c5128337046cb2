"""An engine without a model: what a few families' tasks once returned, for as many prompts as one likes."""

import heapq
import pickle
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.recorded_tasks import Recording
from harness.errors import Say
from harness.runner.context import How
from harness.runner.preparation import RunRequest
from harness.runner.tasks import Done, Fitted, HeardOf, Setup, Task
from harness.specs.targets import Target
from harness.store.tables.columns import Columns

AHEAD = 3  # tasks of a worker that are on their way, as of real ones
SECONDS = 0.1  # that a task says it took
Key = tuple[str, str]  # the stage of a task, and its label
FAMILY = re.compile(r"family-(\d+)")


class Clock:
    """The driver's time: what it computes, by what it is for, and its waits, which pass at once.

    By CPU time, so that what else runs on a machine is no part of it.
    """

    def __init__(self) -> None:
        self._began = time.process_time()
        self.waited = self._others = 0.0
        self.by = Counter[str]()

    @property
    def busy(self) -> float:
        """Seconds that the driver has computed."""
        return time.process_time() - self._began - self._others

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.busy + self.waited

    def wait(self, until: float) -> None:
        """Let time pass."""
        self.waited += max(0.0, until - self.now)

    @contextmanager
    def not_the_drivers(self) -> Iterator[None]:
        """What the block computes is done elsewhere."""
        before = time.process_time()
        yield
        self._others += time.process_time() - before

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """What the block computes is for this."""
        before = self.busy
        yield
        self.by[what] += self.busy - before


class Memory:
    """What tasks have returned, by stage; rows of prompts by the prompt."""

    def __init__(self, recording: Recording) -> None:
        assert recording.fitted is not None
        self.fitted = recording.fitted
        self._values: dict[Key, Any] = {}
        self._of: dict[Key, dict[str, list[str]]] = defaultdict(partial(defaultdict, list))
        self._edits: dict[Key, list[str]] = {}
        for _, task, done in recording.done:
            key, value = (task.stage, task.label), done.value
            if isinstance(value, list):
                value = _joined(self._values.get(key, []), list(map(_as_arrays, value)))
            self._values[key] = value
            self._edits[key] = _edits(task)
            for prompt in task.prompts or ():
                self._of[key][_kind(prompt.id)].append(prompt.id)
        self._places: dict[int, dict[str, Any]] = {}

    def done(self, setup: Setup, task: Task) -> Done:
        """What the task returns: each prompt has the rows of one that was asked in the same words."""
        key = task.stage, task.label
        value = self._values[key]
        if not isinstance(value, list):
            return Done(value, SECONDS)
        run_id = setup.start.run_id if setup.start else ""
        alike = [(prompt.id, self._alike(key, prompt.id)) for prompt in task.prompts or ()]
        # The same features may be others here: the first control is the first control.
        edits = dict(zip(self._edits[key], _edits(task), strict=True))
        return Done([self._table(table, run_id, alike, edits) for table in value], SECONDS)

    def _alike(self, key: Key, prompt: str) -> str:
        some = self._of[key][_kind(prompt)]
        return prompt if prompt in some else some[_family(prompt) % len(some)]

    def _table(
        self, table: Columns, run_id: str, alike: list[tuple[str, str]], edits: Mapping[str, str]
    ) -> Columns:
        columns = dict(vars(table))
        if alike and "prompt_id" in columns:
            places = self._rows_of(table)
            chosen = [places.get(old, places[""]) for _, old in alike]
            at = np.concatenate(chosen)
            columns = {name: values[at] for name, values in columns.items()}
            columns["prompt_id"] = np.repeat(
                np.array([new for new, _ in alike]), [len(rows) for rows in chosen]
            )
        if edits and "intervention_id" in columns:
            columns["intervention_id"] = np.array(
                [edits[one] for one in columns["intervention_id"]]
            )
        columns["run_id"] = np.full(len(columns["run_id"]), run_id)
        return type(table)(**columns)

    def _rows_of(self, table: Columns) -> Mapping[str, Any]:
        """Where each prompt's rows are in a table."""
        if id(table) not in self._places:
            of = np.asarray(table.prompt_id)  # type: ignore[attr-defined] # it has one
            self._places[id(table)] = {
                **{str(name): np.flatnonzero(of == name) for name in np.unique(of)},
                "": np.zeros(0, int),
            }
        return self._places[id(table)]


class Remembering:
    """An `Engine` of so many imagined `workers`, each of which takes so many `seconds` for a task.

    The scheduler takes `word` seconds a task of its own time, one after the other. With no workers nobody
    takes any time.
    """

    in_process = False

    def __init__(
        self,
        memory: Memory,
        clock: Clock,
        *,
        workers: int = 0,
        seconds: float = 0.0,
        word: float = 0.0,
    ) -> None:
        self._memory = memory
        self._clock, self._seconds, self._word = (
            clock,
            seconds if workers else 0.0,
            word if workers else 0.0,
        )
        self._free = [0.0] * max(1, workers)
        self._scheduler = 0.0
        self.worked, self.tasks = 0.0, 0
        self.rows = 0

    def fit(
        self,
        request: RunRequest,  # noqa: ARG002 # as of all engines
        how: How,  # noqa: ARG002
        longest: int,  # noqa: ARG002
        *,
        check: Callable[[Target], None],  # noqa: ARG002
        say: Say,  # noqa: ARG002
    ) -> Fitted:
        """What the model told once."""
        return self._memory.fitted

    def told(self) -> str:
        """Nothing."""
        return ""

    def stop(self) -> None:
        """Nothing is at work."""

    def results(
        self,
        setup: Setup,
        tasks: Iterable[Task],
        *,
        ordered: bool,
        heard: HeardOf,  # noqa: ARG002
    ) -> Iterator[tuple[Task, Done]]:
        """As `Executor.results`: the driver unpickles what the worker has packed."""
        left = iter(tasks)
        at_work: list[tuple[float, int, Task]] = []
        most = AHEAD * len(self._free)
        while True:
            with self._clock.doing("hand out"):
                for task in islice(left, most - len(at_work)):
                    pickle.dumps(replace(task, work=_nothing))
                    entry = self._ends(), self.tasks, task
                    at_work.append(entry) if ordered else heapq.heappush(at_work, entry)
            if not at_work:
                return
            ends, _, task = at_work.pop(0) if ordered else heapq.heappop(at_work)
            self._clock.wait(ends)
            with self._clock.not_the_drivers():
                done = self._memory.done(setup, task)
                packed = pickle.dumps(done)
                self.rows += _rows(done)
                del done
            with self._clock.doing("unpickle"):
                done = pickle.loads(packed)
            yield task, done

    def _ends(self) -> float:
        """When a task that is handed out now has ended, by the worker who is free first."""
        self.tasks += 1
        self.worked += self._seconds
        self._scheduler = max(self._scheduler, self._clock.now) + self._word
        ends = max(heapq.heappop(self._free), self._scheduler) + self._seconds
        heapq.heappush(self._free, ends)
        return ends


def _edits(task: Task) -> list[str]:
    """The ids of the interventions that a task replays, in their order."""
    replays = getattr(task.work, "keywords", {}).get("replays", ())
    return [edit.id for replay in replays for edit in replay.interventions]


def _joined(tables: list[Columns], more: list[Columns]) -> list[Columns]:
    """The same tables with more rows."""
    if not tables:
        return more
    return [
        type(table)(
            **{
                name: np.concatenate([values, vars(rest)[name]])
                for name, values in vars(table).items()
            }
        )
        for table, rest in zip(tables, more, strict=True)
    ]


def _as_arrays(table: Columns) -> Columns:
    def array(values: Any) -> Any:
        if isinstance(values, np.ndarray):
            return values
        made = np.empty(len(values), object)
        made[:] = values
        return made

    return type(table)(**{name: array(values) for name, values in vars(table).items()})


def _rows(done: Done) -> int:
    return sum(map(len, done.value)) if isinstance(done.value, list) else 0


def _family(prompt: str) -> int:
    found = FAMILY.search(prompt)
    assert found
    return int(found[1])


def _kind(prompt: str) -> str:
    return FAMILY.sub("", prompt)


def _nothing(*_: object, **__: object) -> None:
    """What stands in a task for its work."""
