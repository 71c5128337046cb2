"""How results and progress look in a terminal and in a log."""

import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from harness.places import DEFAULT_DB
from harness.tables import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.compare import Comparison
    from harness.repeat import Repeated
    from harness.verdicts import Verdict
    from harness.wire import Outcome

STYLES = {
    "supported": "green",
    "refuted": "red",
    "inconclusive": "yellow",
    "untestable": "magenta",
}
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
def progress_on(out: Console) -> "Iterator[Any]":
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


def print_verdicts(out: Console, outcomes: "Sequence[Outcome]") -> None:
    """Each eval's question and one line a claim, then what to do with them."""
    names = [verdict.claim for outcome in outcomes for verdict in outcome.verdicts]
    widest = max(map(len, names), default=0)
    for outcome in outcomes:
        mark = "  [yellow]exploratory[/]" if outcome.exploratory else ""
        mark += "  [red]MOCK[/]" if outcome.target.origin == "mock" else ""
        out.print(f"\n[bold]{outcome.spec}[/] on {outcome.target.name}{mark}")
        out.print(outcome.question, style="dim", soft_wrap=True, markup=False)
        table = Table(box=None, pad_edge=False, show_header=outcome is outcomes[0])
        table.add_column("claim", width=max(widest, 5), no_wrap=True)
        table.add_column("verdict", width=12 if outcome.is_evidence else 18, no_wrap=True)
        table.add_column("estimate", justify="right", width=13, no_wrap=True)
        table.add_column("interval", justify="right", width=18, no_wrap=True)
        table.add_column("p", justify="right", width=7, no_wrap=True)
        table.add_column("rests on")
        for verdict in outcome.verdicts:
            table.add_row(
                verdict.claim,
                f"[{STYLES[verdict.verdict]}]{verdict.verdict}[/]"
                if outcome.is_evidence
                else f"[dim]mock: {verdict.verdict}[/]",
                *numbers(verdict),
                verdict.because,
            )
        out.print(table)
        for warning in outcome.warnings:
            out.print(f"warning: {warning}", style="yellow", soft_wrap=True, markup=False)
    out.print()
    for line in closing(outcomes):
        out.print(line, soft_wrap=True, markup=False)


def numbers(verdict: "Verdict") -> tuple[str, str, str]:
    """Estimate, interval and p of a verdict as text; a dash where there is none."""
    unit = "" if verdict.unit == "features" else f" {verdict.unit}"
    shape = "{:.0f}" if verdict.unit == "features" else "{:+.3f}"
    estimate = "-" if verdict.estimate is None else shape.format(verdict.estimate) + unit
    interval = "-" if verdict.ci_low is None else f"[{verdict.ci_low:+.3f}, {verdict.ci_high:+.3f}]"
    return estimate, interval, "-" if verdict.p is None else p_text(verdict.p)


def p_text(p: float) -> str:
    """A p value in two digits."""
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.1e}"


def closing(outcomes: "Sequence[Outcome]") -> list[str]:
    """What to read after the table: what this is evidence of, where it lies, how to go on."""
    lines = []
    mocks = {outcome.target.name for outcome in outcomes if outcome.target.origin == "mock"}
    if mocks:
        lines.append(
            f"{', '.join(sorted(mocks))} ran with random SAEs: these verdicts try the pipeline and are "
            "no evidence of anything."
        )
    stand_ins = {outcome.target.name for outcome in outcomes if outcome.target.origin == "stand-in"}
    if stand_ins:
        lines.append(
            f"{', '.join(sorted(stand_ins))} is a stand-in: these verdicts show that the method "
            "works and say nothing about Gemma."
        )
    for outcome in outcomes:
        if outcome.exploratory:
            lines.append(f"{outcome.spec} is exploratory: {outcome.exploratory}.")
    last = outcomes[-1]
    lines.append(f"Everything is in {nearby(last.db)}. For example:")
    for query in (
        "FROM latest_verdicts",
        f"FROM top_features WHERE run_id = '{last.run_id}' LIMIT 10",
    ):
        lines.append("  " + sql_command(last.db, query))
    return lines


def sql_command(db: Path, query: str) -> str:
    """A command that shows the rows."""
    default = db.resolve() == DEFAULT_DB.resolve()
    return f'{command()} sql {"" if default else f"--db {nearby(db)} "}"{query}"'


def command() -> str:
    """How this installation's `harness` is called from here, on the path or not."""
    script = Path(sys.executable).parent / "harness"
    below = script.is_file() and script.is_relative_to(Path.cwd())
    return str(script.relative_to(Path.cwd())) if below else "harness"


def nearby(path: Path) -> str:
    """A path as it is typed from here."""
    here = Path.cwd()
    full = path.resolve()
    return str(full.relative_to(here) if full.is_relative_to(here) else path)


def rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """The rows of a query."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(short(value)) for value in row))
    return table


def run_table(run: "Mapping[str, Any]") -> Table:
    """A stored run's line: every column but the spec's text."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    shown = {key: value for key, value in run.items() if key != "spec"}
    for key, value in shown.items():
        style = "bold red" if key == "origin" and value == "mock" else ""
        table.add_row(key.replace("_", " "), Text(_worth(key, value), style=style))
    return table


def _worth(key: str, value: Any) -> str:
    if value is None or value != value:
        return "-"
    if key in ("peak_memory", "peak_device_memory"):
        return f"{value / 1e9:.2f} GB"
    if isinstance(value, list):
        return ", ".join("-" if each is None else str(each) for each in value) or "-"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else short(value)


def print_comparison(out: Console, found: "Comparison") -> None:
    """Two runs side by side: what differs between them, each quantity with its test, the verdicts."""
    for side, run in (("A", found.a), ("B", found.b)):
        mark = "  [red]MOCK[/]" if run["origin"] == "mock" else ""
        mark += "  [yellow]exploratory[/]" if run["exploratory"] else ""
        out.print(f"[bold]{side}[/] {run['run_id']}{mark}")
    apart = [
        (name, short(found.a[name]), short(found.b[name]))
        for name in _TOLD
        if found.a[name] != found.b[name]
    ]
    out.print(rows_table(("not the same", "A", "B"), apart) if apart else "made in the same way")
    names = ("about", "quantity", "A", "B", "B - A", "95 % interval", "p", "adjusted", "families")
    rows = [
        (
            row.about,
            f"{row.quantity}, {row.unit}",
            f"{row.a:+.4g}",
            f"{row.b:+.4g}",
            f"{row.difference:+.3g}",
            "-" if row.ci_low is None else f"[{row.ci_low:+.3g}, {row.ci_high:+.3g}]",
            "-" if row.p is None else p_text(row.p),
            "-" if row.p_adjusted is None else p_text(row.p_adjusted),
            row.n_units,
        )
        for row in found.rows
    ]
    out.print(rows_table(names, rows))
    if found.same_text is not None:
        out.print(f"They say the same, word for word, to {found.same_text:.0%} of the prompts.")
    told = [(claim, a or "-", b or "-") for claim, (a, b) in found.verdicts.items()]
    out.print(rows_table(("claim", "A", "B"), told))


# What two runs are told apart by.
_TOLD = (
    "spec_name", "spec_hash", "target", "origin", "model", "model_revision", "model_hash", "sae",
    "sae_revision", "sae_hash", "layers", "readout", "metric", "seed", "device", "dtype", "attention",
    "batch_size", "code_hash", "harness_version", "torch_version", "transformers_version",
)  # fmt: skip


def print_agreement(out: Console, found: "Repeated") -> None:
    """Whether a repetition agrees with its run, table by table."""
    rows = [
        (
            one.table,
            one.rows_a,
            "identical" if one.agrees else f"{max(one.only_a, one.only_b)} rows differ",
            ", ".join(f"{name} {value:.2g}" for name, value in one.largest.items()),
        )
        for one in found.tables
    ]
    out.print(rows_table(("table", "rows", "again", "largest difference"), rows))
    changed = [(name, short(a), short(b)) for name, (a, b) in found.facts.items()]
    if changed:
        out.print(rows_table(("not the same", "then", "now"), changed))
    out.print(f"{found.first}, and again as {found.outcome.run_id}:", soft_wrap=True)
    if found.agrees:
        out.print("every table agrees, to the last bit.", style="green")
    else:
        differ = [one.table for one in found.tables if not one.agrees]
        out.print(f"the tables do not agree: {', '.join(differ)}.", style="red")
