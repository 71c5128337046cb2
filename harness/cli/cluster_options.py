"""The options by which a run is spread over workers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from harness.cli.parser import Decimal, Whole
from harness.errors import Fault, InputError

TASK_SECONDS = 1800.0  # that a group may take before its worker is taken to hang

OPTIONS = (
    click.option(
        "--workers",
        type=Whole(1),
        metavar="N",
        help="Spread evals, and the groups of each, over N processes: one a GPU, or a share of the cores.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="The same over the workers of a Dask scheduler: its address, or the file it wrote.",
    ),
    click.option(
        "--task-timeout",
        type=Decimal(0),
        default=TASK_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="A group that takes longer hangs: its worker ends, and another tries. 0 waits for ever.",
    ),
    click.option("--jobs", type=Whole(1), hidden=True),  # the name of `--workers` before
)


@dataclass(frozen=True)
class Who:
    """Who does the work: this process, so many `workers` of this machine, or those of a scheduler."""

    workers: int = 0
    scheduler: str = ""
    seconds: float = TASK_SECONDS

    @property
    def alone(self) -> bool:
        """Whether this process does all of it."""
        return not (self.workers or self.scheduler)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what can be spread over workers."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def who_of(options: dict[str, Any]) -> Who:
    """Who was asked for; takes its options out of all. Raises `InputError`."""
    workers, jobs = options.pop("workers"), options.pop("jobs")
    scheduler, seconds = options.pop("scheduler"), options.pop("task_timeout")
    if scheduler and (workers or jobs):
        what = "a scheduler has workers of its own"
        raise InputError(Fault("--workers", what, "name one of --workers and --scheduler"))
    if jobs and jobs > 1:
        workers = workers or jobs
    return Who(workers or 0, scheduler or "", seconds)
