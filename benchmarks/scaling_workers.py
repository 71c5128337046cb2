"""What workers bring and what they cost: two against one on tasks of an eval, and tasks that do nothing."""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from psutil import Process

from benchmarks.figures import figure
from benchmarks.recorded_tasks import record
from harness.paths import bundled
from harness.runner.cluster.clusters import local_workers
from harness.runner.cluster.on_workers import OnWorkers
from harness.runner.cluster.worker import Terms
from harness.runner.context import How, RunContext
from harness.runner.in_process import InProcess
from harness.runner.preparation import request
from harness.runner.resume import RunStart
from harness.runner.run import fit_run
from harness.runner.tasks import Setup, Task
from harness.specs.spec_file import load

VOICES = bundled("evals", "voices.yaml")
TARGET, STAGE = "organism", "ablate top"
HOW = How(device="cpu", threads=1)
TERMS = Terms(("cpu",), threads=1)
FASTER = 1.8  # times, with two workers
OVERHEAD = 5.0  # ms a task
LEAST = 0.3  # seconds that a task takes, where a worker is worth it


def two_against_one(limit: int, rounds: int, spec: Path = VOICES) -> list[bool]:
    """The replays of an eval's ablation by one worker and by two, of one thread each, in turns.

    Both clusters stand all the time, and have the model open before the first round.
    """
    with tempfile.TemporaryDirectory() as folder:
        how = replace(HOW, limit=limit)
        recorded = record(spec, Path(folder, "r.duckdb"), InProcess(), how, TARGET)
    setup, tasks = recorded.of(STAGE)
    with ExitStack() as stack:
        one, two = (stack.enter_context(local_workers(n, TERMS, lambda _: None)) for n in (1, 2))
        for workers in (one, two):
            _drained(workers, setup, tasks)
        ratios, each = [], []
        for _ in range(rounds):
            alone, _ = _drained(one, setup, tasks)
            both, _ = _drained(two, setup, tasks)
            ratios.append(alone / both)
            each.append(alone / len(tasks))
            print(
                f"{len(tasks)} tasks of `{STAGE}`: one worker {alone:.2f} s, two {both:.2f} s, "
                f"{ratios[-1]:.2f} times; {_load()}"
            )
    return [
        figure("seconds of a task", statistics.median(each), "s", LEAST),
        figure("two workers against one", statistics.median(ratios), "x", FASTER),
    ]


def overhead(tasks: int, spec: Path = VOICES) -> list[bool]:
    """Milliseconds a task of so many that do nothing, handed to two workers and taken back.

    Beside it the driver's own CPU time is said, in which the scheduler is: what it takes where no other
    process has the cores.
    """
    with local_workers(2, TERMS, lambda _: None) as workers:
        wanted = request(load(spec), TARGET, HOW, print)
        setup = fit_run(workers, wanted, HOW, print)[0].at(RunStart("none", None, 1, 1, {})).setup
        some = [Task("nothing", nothing, index=at) for at in range(tasks)]
        _drained(workers, setup, some[:20])
        cpu = time.process_time()
        wall, _ = _drained(workers, setup, some)
        cpu = time.process_time() - cpu
    print(f"{tasks:,} tasks: {wall:.1f} s, the driver and scheduler compute {cpu:.1f} s; {_load()}")
    name = f"overhead of {tasks:,} tasks"
    return [
        figure(name, 1000 * wall / tasks, "ms/task", OVERHEAD, at_most=True),
        figure(f"{name}, driver's CPU", 1000 * cpu / tasks, "ms/task", OVERHEAD, at_most=True),
    ]


def nothing(_: RunContext) -> None:
    """What is left of a task without its work."""


def _drained(workers: OnWorkers, setup: Setup, tasks: Sequence[Task]) -> tuple[float, float]:
    """Seconds until all are done, and the CPU time of all processes. Raises what stopped a task."""
    processes = [Process(), *Process().children(recursive=True)]
    before = _computed(processes)
    began = time.perf_counter()
    for _, done in workers.results(setup, iter(tasks), ordered=False, heard=lambda *_: None):
        if done.error is not None:
            raise done.error
    return time.perf_counter() - began, _computed(processes) - before


def _computed(processes: Sequence[Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
