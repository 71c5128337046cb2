"""Verdicts as people read them, and what to do with them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.characters import one_line
from harness.reports.terminal.progress import Terminal
from harness.reports.text import (
    caution_lines,
    caveat_marks,
    closing_lines,
    rests_on,
    verdict_numbers,
)

if TYPE_CHECKING:
    from harness.analysis.verdict import Verdict
    from harness.runner.outcome import Outcome


STYLES = {
    "supported": "green",
    "refuted": "red",
    "inconclusive": "yellow",
    "untestable": "magenta",
    "held": "green",
    "broken": "red",
}
LEAST = 24  # columns in which what a verdict rests on can be read
MARKS = {"MOCK": "red", "LIMITED": "red", "exploratory": "yellow"}


def print_verdicts(out: Terminal, outcomes: "Sequence[Outcome]") -> None:
    """Each eval's question and one line a claim, then what to do with them."""
    names = [verdict.claim for outcome in outcomes for verdict in outcome.verdicts]
    widest = max(map(len, names), default=0)
    for outcome in outcomes:
        head = Text.assemble((one_line(outcome.spec), "bold"), f" on {outcome.target.name}")
        for mark in caveat_marks(outcome):
            head.append(f"  {mark}", MARKS[mark])
        out.line()
        out.print(head)
        out.note(outcome.question, "dim")
        trial = f"{outcome.trial}: " if outcome.trial else ""
        columns = (max(widest, 5), 12 + len(trial), 13, 18, 7)
        if sum(columns) + len(columns) + LEAST > out.width:
            _print_list(out, outcome, trial)
        else:
            out.print(_table(outcome, trial, columns, header=outcome is outcomes[0]))
        for line in (line for one in outcome.verdicts for line in caution_lines(one)):
            out.print(one_line(f"caution: {line}"), style="yellow", soft_wrap=True)
        for warning in outcome.warnings:
            out.note(f"warning: {warning}", "yellow")
    out.print()
    for line in closing_lines(outcomes):
        (out.command if line.startswith("  ") else out.note)(line)


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
            one_line(verdict.claim),
            _styled(verdict, trial),
            *verdict_numbers(verdict),
            Text(one_line(rests_on(verdict))),
        )
    return table


def _print_list(out: Terminal, outcome: "Outcome", trial: str) -> None:
    """As the table, for a narrow terminal: each claim, and below it what became of it."""
    for verdict in outcome.verdicts:
        estimate, interval, p = verdict_numbers(verdict)
        out.print(one_line(verdict.claim))
        numbers = [one for one in (estimate, interval, f"p {p}") if not one.endswith("-")]
        said = Text.assemble(_styled(verdict, trial), f"  {'  '.join(numbers)}")
        out.print(Padding(said, (0, 0, 0, 2), expand=False))
        out.print(
            Padding(Text(one_line(rests_on(verdict)), style="dim"), (0, 0, 0, 2), expand=False)
        )


def _styled(verdict: "Verdict", trial: str) -> Text:
    return Text(f"{trial}{verdict.verdict}", "dim" if trial else STYLES[verdict.verdict])
