"""Verdicts as people read them, and what to do with them."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.places import DEFAULT_DB

if TYPE_CHECKING:
    from harness.conclude import Outcome
    from harness.verdicts import Verdict

STYLES = {
    "supported": "green",
    "refuted": "red",
    "inconclusive": "yellow",
    "untestable": "magenta",
}
LEAST = 24  # columns in which what a verdict rests on can be read
MARKS = {"MOCK": "red", "LIMITED": "red", "exploratory": "yellow"}


def print_verdicts(out: Console, outcomes: "Sequence[Outcome]") -> None:
    """Each eval's question and one line a claim, then what to do with them."""
    names = [verdict.claim for outcome in outcomes for verdict in outcome.verdicts]
    widest = max(map(len, names), default=0)
    for outcome in outcomes:
        told = "".join(f"  [{MARKS[mark]}]{mark}[/]" for mark in marks(outcome))
        out.print(f"\n[bold]{outcome.spec}[/] on {outcome.target.name}{told}")
        out.print(outcome.question, style="dim", soft_wrap=True, markup=False)
        trial = f"{outcome.trial}: " if outcome.trial else ""
        columns = (max(widest, 5), 12 + len(trial), 13, 18, 7)
        if sum(columns) + len(columns) + LEAST > out.width:
            _print_list(out, outcome, trial)
        else:
            out.print(_table(outcome, trial, columns, header=outcome is outcomes[0]))
        for warning in outcome.warnings:
            out.print(f"warning: {warning}", style="yellow", soft_wrap=True, markup=False)
    out.print()
    for line in closing(outcomes):
        out.print(line, soft_wrap=True, markup=False)


def _table(outcome: "Outcome", trial: str, columns: Sequence[int], *, header: bool) -> Table:
    """A line for each claim; `columns` are the widths of all but the last."""
    table = Table(box=None, pad_edge=False, show_header=header)
    names = ("claim", "verdict", "estimate", "interval", "p")
    for name, width in zip(names, columns, strict=True):
        justify: JustifyMethod = "left" if name in names[:2] else "right"
        table.add_column(name, justify=justify, width=width, no_wrap=True)
    table.add_column("rests on")
    for verdict in outcome.verdicts:
        table.add_row(
            verdict.claim, _styled(verdict, trial), *numbers(verdict), Text(verdict.because)
        )
    return table


def _print_list(out: Console, outcome: "Outcome", trial: str) -> None:
    """As the table, for a narrow terminal: each claim, and below it what became of it."""
    for verdict in outcome.verdicts:
        estimate, interval, p = numbers(verdict)
        out.print(verdict.claim, markup=False)
        told = [one for one in (estimate, interval, f"p {p}") if not one.endswith("-")]
        out.print(
            Padding(
                f"{_styled(verdict, trial)}  {escape('  '.join(told))}", (0, 0, 0, 2), expand=False
            ),
        )
        out.print(Padding(Text(verdict.because, style="dim"), (0, 0, 0, 2), expand=False))


def _styled(verdict: "Verdict", trial: str) -> str:
    return f"[{'dim' if trial else STYLES[verdict.verdict]}]{trial}{verdict.verdict}[/]"


def marks(outcome: "Outcome") -> list[str]:
    """What must be read before a verdict is believed."""
    found = {
        "MOCK": outcome.target.origin == "mock",
        "LIMITED": outcome.limited,
        "exploratory": bool(outcome.exploratory) and not outcome.limited,
    }
    return [mark for mark, holds in found.items() if holds]


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
        if outcome.limited:
            lines.append(
                f"{outcome.spec} was {outcome.exploratory}: these verdicts are a trial and no evidence of "
                "anything."
            )
        elif outcome.exploratory:
            lines.append(f"{outcome.spec} is exploratory: {outcome.exploratory}.")
    last = outcomes[-1]
    lines.append(f"Everything is in {nearby(last.db)}. For example:")
    lines += ["  " + sql_command(last.db, query) for query in queries(last)]
    return [*lines, f"  {command()} report {last.run_id}{db_option(last.db)}"]


def queries(outcome: "Outcome") -> tuple[str, str]:
    """What to ask next; a trial is not among the latest verdicts."""
    its = f"WHERE run_id = '{outcome.run_id}'"
    every = f"FROM verdicts {its}" if outcome.limited else "FROM latest_verdicts"
    return every, f"FROM {'top_features' if outcome.reads else 'behaviour'} {its} LIMIT 10"


def sql_command(db: Path, query: str) -> str:
    """A command that shows the rows."""
    return f'{command()} sql{db_option(db)} "{query}"'


def db_option(db: Path) -> str:
    """What a command needs to find the results file, where it is not the default one."""
    return "" if db.resolve() == DEFAULT_DB.resolve() else f" --db {shlex.quote(nearby(db))}"


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
