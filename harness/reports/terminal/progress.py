"""A console, and how far a run is: bars on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

WIDTH = 132
LOG_EVERY = 10.0  # seconds between plain lines of one stage


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line: rich would exit with the status of a refuted claim."""
        raise BrokenPipeError


def console(file: TextIO | None = None, width: int = 0) -> Console:
    """A console as wide as the terminal; elsewhere `width`, else COLUMNS, else wide enough for a table.

    NO_COLOR and TERM=dumb take its colours away, FORCE_COLOR gives them to a log.
    """
    made = _Console(file=file or sys.stdout, highlight=False)
    if not _at_terminal(made):
        asked = os.environ.get("COLUMNS", "")
        made.width = width or (int(asked) if asked.isdigit() else 0) or WIDTH
    return made


def _at_terminal(out: Console) -> bool:
    """Whether somebody sits there; FORCE_COLOR makes no terminal of a log."""
    return out.is_terminal and out.file.isatty()


class PlainProgress:
    """One line when a stage has long been silent, and one when it ends.

    What was done when a stage was first heard of is no part of its rate.
    """

    def __init__(self, write: Any) -> None:
        self._write = write
        self._began: dict[str, tuple[float, int]] = {}
        self._last = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say it, where it is time to."""
        now = time.monotonic()
        is_new = stage not in self._began
        began, before = self._began.setdefault(stage, (now, done))
        if is_new and done == total > 0:
            self._write(f"  {stage}: {done} of {total} (done before)")
            return
        if done == total or now - self._last >= LOG_EVERY:
            self._last = now
            if done:
                parts = [f"{now - began:.1f} s"]
                if done - before > 1 and now > began:
                    rate = (done - before) / (now - began)
                    parts.append(_rate(rate))
                    if done < total:
                        parts.append(f"about {_duration((total - done) / rate)} left")
                self._write(f"  {stage}: {done} of {total} ({', '.join(parts)})")


class BarProgress:
    """A bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        if stage not in self._tasks:
            # What an earlier run did is no part of the rate.
            self._tasks[stage] = self._progress.add_task(stage, total=total, completed=done)
        self._progress.update(self._tasks[stage], completed=done, total=total)


class _RateColumn(ProgressColumn):
    """How many units a second; nothing where there is only one."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        shown = speed and (task.total or 0) > 1
        return Text(_rate(speed) if shown and speed else "", style="progress.data.speed")


def _rate(speed: float) -> str:
    return (
        f"{speed:.0f}/s"
        if speed >= 10
        else f"{speed:.1f}/s"
        if speed >= 1
        else (f"{60 * speed:.1f}/min")
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress_on(out: Console) -> Iterator[Any]:
    """A progress that draws bars on a terminal and prints lines elsewhere."""
    if not _at_terminal(out) or out.is_dumb_terminal:
        yield PlainProgress(lambda line: out.print(line, style="dim", soft_wrap=True))
        return
    columns = (
        TextColumn("  {task.description:<18}"),
        BarColumn(bar_width=max(4, min(40, out.width - 54))),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=out) as bars:
        yield BarProgress(bars)
