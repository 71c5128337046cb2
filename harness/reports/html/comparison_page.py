"""Two runs of the same prompts as one page."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from harness.analysis.comparison import ComparedQuantity, Comparison
from harness.reports.html import charts
from harness.reports.html.caveats import stamps_of, told
from harness.reports.html.charts import HIT, INK, QUIET, Chart
from harness.reports.html.layout import environment, frame
from harness.reports.html.svg import Pencil
from harness.reports.text import TOLD_APART, db_option, told_value

PARTS = (
    ("verdicts", "Verdicts"),
    ("quantities", "What differs"),
    ("made", "How they were made"),
)


def comparison_page(found: Comparison, db: Path) -> str:
    """Two runs side by side: verdicts, every quantity's difference with its test, how each was made."""
    a, b = found.a, found.b
    pencil, alpha = Pencil(), max(a["alpha"], b["alpha"])
    groups = [(about, list(rows)) for about, rows in groupby(found.rows, key=lambda r: r.about)]
    stamps = [*stamps_of(a, "A: "), *stamps_of(b, "B: ")]
    return (
        environment()
        .get_template("comparison.html")
        .render(
            **frame(f"{a['run_id']} and {b['run_id']}", stamps, PARTS, db),
            a=a,
            b=b,
            verdicts=[
                (claim, *(one and told(one, run) for one, run in zip(both, (a, b), strict=True)))
                for claim, both in found.verdicts.items()
            ],
            groups=[
                (
                    about,
                    rows,
                    [
                        pencil.draw(_forest(about, unit, list(some), alpha))
                        for unit, some in groupby(sorted(rows, key=_unit), key=_unit)
                    ],
                )
                for about, rows in groups
            ],
            alpha=alpha,
            left_out=found.left_out,
            same_text=found.same_text,
            apart=[
                (name.replace("_", " "), told_value(name, a[name]), told_value(name, b[name]))
                for name in TOLD_APART
                if a[name] != b[name]
            ],
            command=f"harness compare {a['run_id']} {b['run_id']}{db_option(db)}",
        )
    )


def _unit(row: ComparedQuantity) -> str:
    return row.unit


def _forest(about: str, unit: str, rows: Sequence[ComparedQuantity], alpha: float) -> Chart:
    """Each quantity's difference with its interval; coloured where the adjusted p is at most alpha."""
    title = f"B - A, {unit}"
    most = max(
        (abs(v) for r in rows for v in (r.difference, r.ci_low, r.ci_high) if v), default=1.0
    )
    scale = {"domain": [-most, most]}
    values = [
        {
            "quantity": row.quantity,
            "difference": row.difference,
            "low": row.ci_low,
            "high": row.ci_high,
            "p": row.p_adjusted,
            "kind": "apart" if row.p_adjusted is not None and row.p_adjusted <= alpha else "not",
        }
        for row in rows
    ]
    y = charts.by_name("quantity", [row.quantity for row in rows])
    shade = charts.colour("kind", {"apart": HIT, "not": QUIET}, legend=False)
    layers = [
        charts.line_at(0, colour=INK, strokeDash=[3, 3]),
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {
                "y": y,
                "x": charts.x("low", title, scale=scale),
                "x2": {"field": "high"},
                "color": shade,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {
                "y": y,
                "x": charts.x("difference", title, scale=scale),
                "color": shade,
                "tooltip": charts.tips(
                    ("quantity", "quantity"),
                    ("difference", "B - A", "+.3g"),
                    ("p", "adjusted p", ".2g"),
                ),
            },
        },
    ]
    says = f"{about}: the difference of {len(rows)} quantities between the runs, with its interval"
    return charts.chart(says, values, layers, width=230, height={"step": 22})
