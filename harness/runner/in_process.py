"""The default engine: every task in this process, one after the other, as it is asked for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.errors import Say
from harness.runner.context import How, RunContext
from harness.runner.preparation import RunRequest
from harness.runner.resume import RunStart
from harness.runner.tasks import Crew, Done, Fitted, HeardOf, Setup, Task
from harness.runner.workplace import Workplace
from harness.specs.plan import Plan, bare
from harness.specs.spec_file import Places
from harness.specs.targets import Target


class InProcess:
    """An `Engine` without any other process. What stops a task stops all."""

    in_process = True

    def __init__(self, place: Workplace | None = None) -> None:
        self._place = place or Workplace()

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
        return self._place.fit(request, how, longest, check=check, say=say)

    def told(self) -> str:
        """As `Engine.told`."""
        return ""

    def stop(self) -> None:
        """Nothing is at work where nobody waits for it."""

    def results(
        self,
        setup: Setup,
        tasks: Iterable[Task],
        *,
        ordered: bool,  # noqa: ARG002 # they always are
        heard: HeardOf,
    ) -> Iterator[tuple[Task, Done]]:
        """As `Executor.results`, in order. Raises what stops a task."""
        for task in tasks:
            done = self._place.do(setup, task, partial(heard, task))
            if done.error is not None:
                raise done.error
            yield task, done


def crew_of(context: RunContext, plan: Plan) -> Crew:
    """Who works for a run whose model is open in this process already."""
    alone = bare(plan)
    request = RunRequest(alone, "", Path(), Path(), Places(Path(), {}), alone)
    on_cpu = context.model.device.type == "cpu"
    target = replace(plan.target, origin=context.origin)
    fitted = Fitted(target, {}, on_cpu, context.model.n_parameters)
    start = RunStart(context.run_id, None, context.limit.asked, 0, context.sets)
    setup = Setup(request, How(), start)
    return Crew(InProcess(Workplace.of(setup, context)), setup, fitted)
