"""A console, and how far a run is: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from harness.characters import make_visible, one_line
from harness.reports.terminal.width import fold_command, known_columns
from harness.streams import shown, shown_streams

WIDTH = 132
LOG_EVERY = 10.0  # seconds between plain lines of one stage


class Terminal(Console):
    """A console for whatever the data holds; `folds` where somebody reads in columns, and no program.

    No text is markup, which could hold links: styles are given beside it.
    """

    folds = True

    def __init__(self, stream: TextIO) -> None:
        super().__init__(
            file=shown(stream, styles=True), highlight=False, markup=False, emoji=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does, but no text can move the cursor or turn the direction: all of it comes by here."""
        if isinstance(renderable, str):
            renderable = make_visible(renderable)
        elif isinstance(renderable, Text):
            visible = make_visible(renderable.plain)
            if visible != renderable.plain:
                renderable = renderable.copy()
                renderable.plain = visible
        return super().render(renderable, options)

    def note(self, line: str, style: str | None = None) -> None:
        """A line of words, whatever brackets are in it; folded where it is read in columns."""
        self.print(one_line(line.rstrip()), style=style, soft_wrap=not self.folds)

    def command(self, line: str) -> None:
        """A line for a shell, to be copied."""
        folded = fold_command(line, self.width if self.folds else None)
        self.print(folded, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line: rich would exit with the status of a refuted claim."""
        raise BrokenPipeError


def console(file: TextIO | None = None, width: int = 0) -> Terminal:
    """A console as wide as the terminal; elsewhere as COLUMNS asks, else `width`, else as a table needs.

    NO_COLOR and TERM=dumb take its colours away, FORCE_COLOR gives them to a log.
    """
    stream = file or sys.stdout
    made = Terminal(stream)
    if not _at_terminal(made):
        known = known_columns(stream)
        made.width = known or width or WIDTH
        made.folds = bool(known or width)
    return made


def _at_terminal(out: Console) -> bool:
    """Whether somebody sits there; FORCE_COLOR makes no terminal of a log."""
    return out.is_terminal and out.file.isatty()


class PlainProgress:
    """One line when a stage has long been silent, and one when it ends.

    What was done when a stage was first heard of is no part of its rate. What `beside` says ends the line.
    """

    def __init__(self, write: Any, beside: Callable[[], str] = str) -> None:
        self._write, self._beside = write, beside
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
                if told := self._beside():
                    parts.append(told)
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


class _BesideColumn(ProgressColumn):
    """What is said beside every bar of a stage that is not done."""

    def __init__(self, beside: Callable[[], str]) -> None:
        self._beside = beside
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text("" if task.finished else self._beside(), style="dim")


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
def progress_on(out: Terminal, beside: Callable[[], str] = str) -> Iterator[Any]:
    """A progress that draws bars on a terminal and prints lines elsewhere, with what `beside` says."""
    if not _at_terminal(out) or out.is_dumb_terminal:
        yield PlainProgress(partial(out.note, style="dim"), beside)
        return
    columns = (
        TextColumn("  {task.description:<18}", markup=False),
        BarColumn(bar_width=max(4, min(40, out.width - 54))),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        _BesideColumn(beside),
    )
    # While bars are drawn, rich reads the styles and links of whatever is printed.
    with Progress(*columns, console=out) as bars, shown_streams():
        yield BarProgress(bars)
