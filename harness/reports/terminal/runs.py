"""Stored runs: the rows of a query, a run's line, two runs side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from harness.characters import one_line
from harness.reports.terminal.progress import Terminal
from harness.reports.terminal.tables import print_rows
from harness.reports.text import COMPARED_COLUMNS, p_text, value_text, verdict_with_trial
from harness.specs.clusters import plural
from harness.store.values import short_text

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison
    from harness.runner.rerun import Repeated


def run_table(run: Mapping[str, Any]) -> Table:
    """A stored run's line: every column but the spec's text."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    shown = {key: value for key, value in run.items() if key not in ("spec", "analysed_spec")}
    for key, value in shown.items():
        style = "bold red" if key == "origin" and value == "mock" else ""
        table.add_row(key.replace("_", " "), Text(one_line(value_text(key, value)), style=style))
    return table


def print_comparison(out: Terminal, comparison: "Comparison") -> None:
    """Two runs side by side: what differs between them, each quantity with its test, the verdicts."""
    for side, run in (("A", comparison.a), ("B", comparison.b)):
        head = Text.assemble((side, "bold"), f" {one_line(run['run_id'])}")
        if run["origin"] == "mock":
            head.append("  MOCK", "red")
        if run["exploratory"]:
            head.append("  exploratory", "yellow")
        out.print(head)
    apart = [
        (name, short_text(comparison.a[name]), short_text(comparison.b[name]))
        for name in COMPARED_COLUMNS
        if comparison.a[name] != comparison.b[name]
    ]
    if apart:
        print_rows(out, ("not the same", "A", "B"), apart)
    else:
        out.print("made in the same way")
    units = plural(comparison.cluster)
    names = ("about", "quantity", "A", "B", "B - A", "95 % interval", "p", "adjusted", units)
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
        for row in comparison.rows
    ]
    print_rows(out, names, rows)
    if comparison.same_text is not None:
        out.print(
            f"They say the same, word for word, to {comparison.same_text:.0%} of the prompts."
        )
    for line in comparison.left_out:
        out.note(f"{line}; not compared", "yellow")
    verdicts = [
        (claim, verdict_with_trial(a, comparison.a), verdict_with_trial(b, comparison.b))
        for claim, (a, b) in comparison.verdicts.items()
    ]
    print_rows(out, ("claim", "A", "B"), verdicts)


def print_agreement(out: Terminal, repeated: "Repeated") -> None:
    """Whether a repetition agrees with its run, table by table."""
    rows = [
        (
            table.table,
            table.rows_a,
            "identical" if table.agrees else f"{max(table.only_a, table.only_b)} not the same",
            ", ".join(f"{name} {value:.2g}" for name, value in table.largest.items()),
        )
        for table in repeated.tables
    ]
    print_rows(out, ("table", "rows", "again", "largest difference"), rows)
    changed = [(name, short_text(a), short_text(b)) for name, (a, b) in repeated.facts.items()]
    if changed:
        print_rows(out, ("not the same", "then", "now"), changed)
    out.note(f"{repeated.first}, and again as {repeated.outcome.run_id}:")
    if repeated.agrees:
        out.print("every table agrees, to the last bit.", style="green")
    else:
        differ = [table.table for table in repeated.tables if not table.agrees]
        out.note(f"the tables do not agree: {', '.join(differ)}.", "red")
        for reason in repeated.reasons:
            out.note(f"  {reason}")
