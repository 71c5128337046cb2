"""A console, and how far a run is: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_EVERY = 10.0  # seconds between plain lines of one stage


def console(file: TextIO | None = None, width: int = 132) -> Console:
    """A console as wide as the terminal, and wide enough for a table elsewhere."""
    made = Console(file=file or sys.stdout, highlight=False)
    if not made.is_terminal:
        made.width = width
    return made


class PlainProgress:
    """One line when a stage has long been silent, and one when it ends."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self._began: dict[str, float] = {}
        self._last = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say it, where it is time to."""
        now = time.monotonic()
        began = self._began.setdefault(stage, now)
        if done == total or now - self._last >= LOG_EVERY:
            self._last = now
            if done:
                self._write(f"  {stage}: {done} of {total} ({now - began:.1f} s)")


class BarProgress:
    """A bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)


@contextmanager
def progress_on(out: Console) -> Iterator[Any]:
    """A progress that draws bars on a terminal and prints lines elsewhere."""
    if not out.is_terminal:
        yield PlainProgress(lambda line: out.print(line, style="dim"))
        return
    columns = (
        TextColumn("  {task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=out) as bars:
        yield BarProgress(bars)
