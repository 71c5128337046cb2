"""Verdicts as people read them, and what to do with them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

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
MARKS = {"MOCK": "red", "LIMITED": "red", "exploratory": "yellow"}


def print_verdicts(out: Console, outcomes: "Sequence[Outcome]") -> None:
    """Each eval's question and one line a claim, then what to do with them."""
    names = [verdict.claim for outcome in outcomes for verdict in outcome.verdicts]
    widest = max(map(len, names), default=0)
    for outcome in outcomes:
        told = "".join(f"  [{MARKS[mark]}]{mark}[/]" for mark in marks(outcome))
        out.print(f"\n[bold]{outcome.spec}[/] on {outcome.target.name}{told}")
        out.print(outcome.question, style="dim", soft_wrap=True, markup=False)
        table = Table(box=None, pad_edge=False, show_header=outcome is outcomes[0])
        table.add_column("claim", width=max(widest, 5), no_wrap=True)
        trial = f"{outcome.trial}: " if outcome.trial else ""
        table.add_column("verdict", width=12 + len(trial), no_wrap=True)
        table.add_column("estimate", justify="right", width=13, no_wrap=True)
        table.add_column("interval", justify="right", width=18, no_wrap=True)
        table.add_column("p", justify="right", width=7, no_wrap=True)
        table.add_column("rests on")
        for verdict in outcome.verdicts:
            table.add_row(
                verdict.claim,
                f"[{'dim' if trial else STYLES[verdict.verdict]}]{trial}{verdict.verdict}[/]",
                *numbers(verdict),
                verdict.because,
            )
        out.print(table)
        for warning in outcome.warnings:
            out.print(f"warning: {warning}", style="yellow", soft_wrap=True, markup=False)
    out.print()
    for line in closing(outcomes):
        out.print(line, soft_wrap=True, markup=False)


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
    return lines + ["  " + sql_command(last.db, query) for query in queries(last)]


def queries(outcome: "Outcome") -> tuple[str, str]:
    """What to ask next; a trial is not among the latest verdicts."""
    its = f"WHERE run_id = '{outcome.run_id}'"
    every = f"FROM verdicts {its}" if outcome.limited else "FROM latest_verdicts"
    return every, f"FROM top_features {its} LIMIT 10"


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
