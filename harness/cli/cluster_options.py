"""The options by which a run is spread over workers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.cli.parser import Decimal, Whole
from harness.errors import Fault, InputError
from harness.specs.numbers import whole_number

TASK_SECONDS = 1800.0  # that a group may take before its worker is taken to hang


class ShardOf(click.ParamType):  # type: ignore[type-arg] # in click of old it has none
    """Which shard, of how many: `3/16`, counted from 1."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Both numbers. Raises `click.BadParameter`."""
        try:
            number, of = (whole_number(part) for part in str(value).split("/"))
        except ValueError:
            number = of = 0
        if not 1 <= number <= of:
            self.fail(f"'{value}' is not allowed; write which of how many, as 3/16", param, ctx)
        return number, of


WORKERS = (
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
)
SHARDS = (
    click.option(
        "--shard",
        type=ShardOf(),
        metavar="K/N",
        help="Do the K-th of N parts, without any scheduler; `harness import` joins them.",
    ),
    click.option(
        "--parts",
        type=click.Path(path_type=Path, file_okay=False),
        default="parts",
        show_default=True,
        metavar="DIR",
        help="Where shards put their parts: a folder that all of them see.",
    ),
    click.option("--jobs", type=Whole(1), hidden=True),  # the name of `--workers` before
)


@dataclass(frozen=True)
class Who:
    """Who does the work: this process, so many `workers` of this machine, or those of a scheduler."""

    workers: int = 0
    scheduler: str = ""
    seconds: float = TASK_SECONDS
    shard: tuple[int, int] | None = None
    parts: Path = Path("parts")

    @property
    def alone(self) -> bool:
        """Whether this process does all of it."""
        return not (self.workers or self.scheduler)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what can be spread over workers, or done in shards."""
    for option in reversed((*WORKERS, *SHARDS)):
        command = option(command)
    return command


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what can be spread over workers alone."""
    for option in reversed(WORKERS):
        command = option(command)
    return command


def who_of(options: dict[str, Any]) -> Who:
    """Who was asked for; takes its options out of all. Raises `InputError`."""
    workers, jobs = options.pop("workers"), options.pop("jobs", None)
    scheduler, seconds = options.pop("scheduler"), options.pop("task_timeout")
    shard, parts = options.pop("shard", None), options.pop("parts", Who.parts)
    if scheduler and (workers or jobs):
        what = "a scheduler has workers of its own"
        raise InputError(Fault("--workers", what, "name one of --workers and --scheduler"))
    if jobs and jobs > 1:
        workers = workers or jobs
    return Who(workers or 0, scheduler or "", seconds, shard, parts)
