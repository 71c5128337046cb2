"""What one process works with: an open model, and for each run its SAEs and how many rows fit."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from harness.errors import CannotRun, Fault, HarnessError, Say
from harness.models.adaptive_batching import BatchLimit, memory_is_said, try_again
from harness.models.arithmetic import exact_arithmetic
from harness.models.memory import peak_memory, rows_that_fit
from harness.runner.context import Heard, How, RunContext
from harness.runner.preparation import Prepared, RunRequest, prepare, settled
from harness.runner.provenance import differences, machine_facts
from harness.runner.sae_provider import sae_provider
from harness.runner.tasks import Done, Fitted, Setup, Task
from harness.sae import Sae
from harness.specs.targets import Target

RUNS = 8  # that are open at a time: those that were worked on last


@dataclass
class _Open:
    """What is open for a run, and the stage that it is in."""

    context: RunContext
    stage: str = ""


@dataclass(frozen=True)
class _Resources:
    """A model and SAEs, which runs of the same target share; `name` tells which they are."""

    name: str
    prepared: Prepared
    saes: Callable[[int], Sae]


class Workplace:
    """A process that does tasks: what a run needs is opened with its first one, and kept."""

    def __init__(self, say: Say = lambda _: None) -> None:
        self._say = say
        self._runs: dict[Setup, _Open] = {}
        self._resources: list[_Resources] = []

    @classmethod
    def of(cls, setup: Setup, context: RunContext) -> "Workplace":
        """One where a run is open already."""
        place = cls()
        place._runs[setup] = _Open(context)
        return place

    def fit(
        self,
        request: RunRequest,
        how: How,
        longest: int,
        *,
        check: Callable[[Target], None],
        say: Say,
        threads: int = 0,
    ) -> Fitted:
        """As `Executor.fit`; `threads` are those of a task where none are asked for."""
        self._say = say
        self._make_room(request.plan.target)
        prepared = prepare(request, how, check=check, say=say)
        model, target = prepared.resources.model, prepared.target
        # What is free is asked before SAEs take some of it.
        rows = how.batch_size or rows_that_fit(model, longest)
        self._share(_name_of(settled(request, target), how), prepared)
        facts = machine_facts(prepared, request.plan.layers)
        facts["batch_size"] = rows
        facts["threads"] = how.threads or threads or torch.get_num_threads()
        on_cpu = model.device.type == "cpu"
        return Fitted(target, facts, on_cpu, model.n_parameters)

    def do(
        self,
        setup: Setup,
        task: Task,
        heard: Heard = lambda *_: None,
        opened: Callable[[], None] = lambda: None,
    ) -> Done:
        """Do a task of a run; `opened` is called once all that it needs is open."""
        try:
            context = self._context(setup, task.stage)
            opened()
            began = time.monotonic()
            work = partial(task.work, replace(context, heard=heard), **task.arguments)
            exactly = exact_arithmetic(context.model.device)
            with _threads(setup.threads), exactly, memory_is_said(f"in {task.stage}"):
                value = try_again(context.limit, work)
        except HarnessError as error:
            return Done(error=error)
        seconds = time.monotonic() - began
        return Done(value, seconds, context.limit.lowest, peak_memory())

    def _context(self, setup: Setup, stage: str) -> RunContext:
        if setup not in self._runs:
            while len(self._runs) >= RUNS:
                del self._runs[next(iter(self._runs))]
            self._runs[setup] = _Open(self._opened(setup))
        run = self._runs[setup] = self._runs.pop(setup)  # the last one is last
        if run.stage != stage:
            # Another stage takes another amount of memory, and other parts of the SAEs.
            run.stage = stage
            run.context.kept.clear()
            run.context.limit.recover()
        return run.context

    def _opened(self, setup: Setup) -> RunContext:
        request, start = setup.request, setup.start
        name = _name_of(request, setup.how)
        shared = next((one for one in self._resources if one.name == name), None)
        if shared is None:
            self._make_room(request.plan.target)
            prepared = prepare(request, setup.how, check=lambda _: None, say=lambda _: None)
            here = machine_facts(prepared, request.plan.layers)
            if setup.facts and (why := differences(here, setup.facts)):
                what = f"others work for this run with another: {why}"
                raise CannotRun(Fault(platform.node(), what, "take it out of the cluster"))
            shared = self._share(name, prepared)
        return RunContext(
            start.run_id if start else "",
            shared.prepared.target.origin,
            shared.prepared.resources.model,
            shared.saes,
            BatchLimit(start.batch_size if start else 1, self._say),
            sets=start.sets if start else {},
            asked=request.plan.spec.metrics,
            own=shared.prepared.own,
        )

    def _make_room(self, target: Target) -> None:
        """Let go of another model before this target's is loaded: two rarely fit."""
        if any(one.prepared.target.model != target.model for one in self._resources):
            self._resources = []
            self._runs.clear()

    def _share(self, name: str, prepared: Prepared) -> _Resources:
        """Keep them for all runs that are of the same."""
        model = prepared.resources.model
        files = prepared.resources.sae_files
        made = _Resources(name, prepared, sae_provider(prepared.target, files, model, self._say))
        # Of a model that was loaded again nothing is kept. Files may have changed since.
        beside = [
            one
            for one in self._resources
            if one.prepared.resources.model.network is model.network and one.name != name
        ]
        self._resources = [*beside, made][-RUNS:]
        return made


def _name_of(request: RunRequest, how: How) -> str:
    plan = request.plan
    return repr((plan.target, plan.layers, sorted(plan.spec.metrics), how))


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """So many threads: between how many a sum is divided shows in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
