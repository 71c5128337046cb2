"""The executor that hands tasks to the workers of a Dask cluster, a bounded number at a time."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from dask.task_spec import Task as Node
from distributed import Client, Future
from distributed.scheduler import KilledWorker, NoWorkerError

from harness.errors import CannotRun, Fault, HarnessError, Say
from harness.runner.cluster import worker
from harness.runner.cluster.worker import Terms
from harness.runner.context import How
from harness.runner.preparation import RunRequest
from harness.runner.tasks import Done, Fitted, HeardOf, Setup, Task, Work
from harness.specs.targets import Target

AHEAD = 3  # tasks of a worker that are on their way, or done and not yet stored
TOGETHER = 16  # results that are fetched at once, and are in memory
TRIES = 3  # of a task that raises what nobody foresaw
LAST = 10**9 - 1  # not fewer than the tasks of a stage
FEW = 4  # workers that are told of one by one
NOBODY = 600.0  # seconds that are waited for the first worker, or for another one
LOOK = 2.0  # seconds between looks at who is there


class OnWorkers:
    """An `Engine` that has a client of a cluster. What stops a task stops no other."""

    in_process = False

    def __init__(self, client: Client, terms: Terms, say: Say = lambda _: None) -> None:
        self._client, self._terms, self._say = client, terms, say
        self._says: dict[str, Say] = {}  # of specs, by name
        self._setups: WeakKeyDictionary[Setup, bytes] = WeakKeyDictionary()
        self._seen: tuple[float, list[str]] = (-LOOK, [])
        self._stopped = Event()
        self._alone: float | None = None  # since when nobody has been there
        self._did: Counter[str] = Counter()  # tasks of each worker
        client.subscribe_topic(worker.SAID, self._hear)

    def fit(
        self,
        request: RunRequest,
        how: How,
        longest: int,
        *,
        check: Callable[[Target], None],
        say: Say,
    ) -> Fitted:
        """As `Engine.fit`, on one of the workers."""
        self._says[request.plan.spec.name] = say
        task = Task("open the model", worker.fit)
        node = _node(task, worker.fit, pickle.dumps(request), how, longest, self._terms)
        ((_, done),) = self._ended(iter([(task, node)]), ordered=True)
        fitted: Fitted | HarnessError = done.error or done.value
        if isinstance(fitted, HarnessError):
            raise fitted
        if fitted.target.mock and not request.plan.target.mock:
            check(fitted.target)
        return fitted

    def stop(self) -> None:
        """As `Engine.stop`."""
        self._stopped.set()

    def results(
        self,
        setup: Setup,
        tasks: Iterable[Task],
        *,
        ordered: bool,
        heard: HeardOf,  # noqa: ARG002 # of a part of a task nothing is heard
    ) -> Iterator[tuple[Task, Done]]:
        """As `Executor.results`. Raises `CannotRun` where the scheduler is gone."""
        if setup not in self._setups:
            self._setups[setup] = pickle.dumps(setup)
        packed = self._setups[setup]
        packs = _Packs()

        def nodes() -> Iterator[tuple[Task, Node]]:
            for task in tasks:
                bare = replace(task, work=_nothing)
                yield task, _node(task, worker.do, packed, packs.of(task.work), bare, self._terms)

        return self._ended(nodes(), ordered=ordered)

    def told(self) -> str:
        """Who has done how much so far, in a few words; nothing before anybody has."""
        if not self._did:
            return ""
        did = sorted((name.split("://")[-1], many) for name, many in self._did.items())
        if len(did) > FEW:
            fewest, most = min(self._did.values()), max(self._did.values())
            return f"{len(did)} workers, {fewest} to {most} groups each"
        return "worker " + ", ".join(f"{name}: {many}" for name, many in did)

    def _hear(self, event: tuple[float, tuple[str, str]]) -> None:
        spec, line = event[1]
        self._says.get(spec, self._say)(line)

    def _ended(
        self, nodes: Iterator[tuple[Task, Node]], *, ordered: bool
    ) -> Iterator[tuple[Task, Done]]:
        """Every task, as it ends, or in order; some a worker are on their way at a time.

        What has ended by the time that somebody asks is fetched at once, and as much is handed out at
        once: a word with the scheduler takes a millisecond.
        """
        at_work: dict[str, tuple[Task, Future]] = {}
        ended: SimpleQueue[str] = SimpleQueue()
        done: set[str] = set()

        def hand_out() -> None:
            some = list(islice(nodes, max(0, self._window() - len(at_work))))
            if not some:
                return
            graph = {node.key: node for _, node in some}
            futures = self._client.get(graph, list(graph), sync=False, retries=TRIES - 1)
            for (task, node), future in zip(some, futures, strict=True):
                at_work[node.key] = task, future
                future.add_done_callback(lambda one: ended.put(one.key))

        def ready() -> list[str]:
            found = takewhile(done.__contains__, at_work) if ordered else iter(done)
            # Workers have the other half to do while these are stored.
            return list(islice(found, min(TOGETHER, max(1, self._window() // 2))))

        try:
            hand_out()
            while at_work:
                while not (keys := ready()):
                    try:
                        done.add(ended.get(timeout=LOOK))
                        while not ended.empty():
                            done.add(ended.get())
                    except Empty:
                        self._wait_for_workers()
                        hand_out()  # some may have come
                done.difference_update(keys)
                *others, last = self._results([at_work.pop(key) for key in keys])
                yield from others
                hand_out()
                yield last
        finally:
            if at_work:
                self._client.cancel([future for _, future in at_work.values()], force=True)

    def _results(self, some: Sequence[tuple[Task, Future]]) -> list[tuple[Task, Done]]:
        """What became of tasks that have ended: what went well is fetched at once."""
        well = [future for _, future in some if future.status == "finished"]
        values: dict[str, Any] = {}
        with suppress(Exception):  # of which `_result` says what is wrong
            values = dict(zip((one.key for one in well), self._client.gather(well), strict=True))
        return [
            (
                task,
                self._counted(values[future.key])
                if future.key in values
                else self._result(task, future),
            )
            for task, future in some
        ]

    def _result(self, task: Task, future: Future) -> Done:
        try:
            value = future.result()
        except KilledWorker as error:
            what = f"{error.allowed_failures + 1} workers ended while they did it"
            remedy = "see what they wrote last: memory that ran out, or a task that hung"
            if self._terms.stood and any(Path(self._terms.stood).iterdir()):
                remedy = f"see where they stood, in {self._terms.stood}"
            return Done(error=CannotRun(Fault(task.name, what, remedy)))
        except NoWorkerError:
            return Done(error=_nobody(task.name))
        except Exception as error:
            if future.status in ("cancelled", "lost"):
                raise _gone() from None
            what = f"it failed {TRIES} times, at last with {type(error).__name__}: {_line(error)}"
            return Done(error=CannotRun(Fault(task.name, what, "see what its worker wrote")))
        return self._counted(value)

    def _counted(self, value: Any) -> Done:
        if not isinstance(value, Done):
            return Done(value)
        self._did[value.worker] += 1
        return value

    def _wait_for_workers(self) -> None:
        """Say it where nobody is there. Raises `CannotRun` where nobody has come for long."""
        if self._workers():
            self._alone = None
            return
        if self._alone is None:
            self._alone = monotonic()
            self._say("  no worker is there: waiting for one")
        elif monotonic() - self._alone > NOBODY:
            raise _nobody("cluster")

    def _window(self) -> int:
        return AHEAD * max(1, len(self._workers()))

    def _workers(self) -> list[str]:
        """Addresses of those that are there as of a moment ago. Raises `CannotRun`; once stopped, as well."""
        if self._stopped.is_set():
            raise CannotRun(Fault("run", "it was stopped", "run it again"))
        at, found = self._seen
        if monotonic() - at >= LOOK:
            try:
                found = sorted(self._client.nthreads())
            except (OSError, TimeoutError, ValueError, RuntimeError):
                raise _gone() from None
            self._seen = monotonic(), found
        return found


class _Packs:
    """The works of a stage, packed once for all of its tasks."""

    def __init__(self) -> None:
        self._last: tuple[Work, bytes] | None = None

    def of(self, work: Work) -> bytes:
        """A work as bytes, which are the same object while it is."""
        if self._last is None or self._last[0] is not work:
            self._last = work, pickle.dumps(work)
        return self._last[1]


def _node(task: Task, call: Callable[..., Any], *arguments: Any) -> Node:
    """A task for the scheduler, by a name that no other has.

    A producer of data waits at the scheduler until a worker is free. What waits at a worker that dies is
    blamed with what was done there, and fails at last beside a task that kills whoever does it.
    """
    # Of a graph without dependencies Dask begins with the last name.
    key = f"{task.stage}-{LAST - task.index}-{uuid4().hex}"
    return Node(key, call, *arguments, _data_producer=True)


def _nothing(*_: object, **__: object) -> None:
    """What stands in a task for its work, which is sent beside it."""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _nobody(where: str) -> CannotRun:
    return CannotRun(Fault(where, "no worker is left to do it", "start workers, and run it again"))


def _gone() -> CannotRun:
    what = "the scheduler does not answer any more"
    return CannotRun(Fault("cluster", what, "start it again; the same command goes on from there"))
