"""Two runs of the same prompts as one page."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from harness.analysis.comparison import ComparedQuantity, Comparison
from harness.names import command
from harness.reports.html import charts
from harness.reports.html.caveats import caveats_of, verdict_with_caveat
from harness.reports.html.charts import HIT, INK, QUIET, Chart
from harness.reports.html.layout import environment, frame
from harness.reports.html.svg import ChartRenderer
from harness.reports.text import COMPARED_COLUMNS, db_option, value_text
from harness.specs.clusters import plural

PARTS = (
    ("verdicts", "Verdicts"),
    ("quantities", "What differs"),
    ("made", "How they were made"),
)


def comparison_page(comparison: Comparison, db: Path) -> str:
    """Two runs side by side: verdicts, every quantity's difference with its test, how each was made."""
    a, b = comparison.a, comparison.b
    renderer, alpha = ChartRenderer(), max(a["alpha"], b["alpha"])
    groups = [
        (about, list(rows)) for about, rows in groupby(comparison.rows, key=lambda r: r.about)
    ]
    caveats = [*caveats_of(a, "A: "), *caveats_of(b, "B: ")]
    return (
        environment()
        .get_template("comparison.html")
        .render(
            **frame(f"{a['run_id']} and {b['run_id']}", caveats, PARTS, db),
            a=a,
            b=b,
            verdicts=[
                (
                    claim,
                    of_a and verdict_with_caveat(of_a, a),
                    of_b and verdict_with_caveat(of_b, b),
                )
                for claim, (of_a, of_b) in comparison.verdicts.items()
            ],
            groups=[
                (
                    about,
                    rows,
                    [
                        renderer.render(_forest_chart(about, unit, list(some), alpha))
                        for unit, some in groupby(sorted(rows, key=_unit), key=_unit)
                    ],
                )
                for about, rows in groups
            ],
            alpha=alpha,
            units=plural(comparison.cluster),
            left_out=comparison.left_out,
            same_text=comparison.same_text,
            apart=[
                (name.replace("_", " "), value_text(name, a[name]), value_text(name, b[name]))
                for name in COMPARED_COLUMNS
                if a[name] != b[name]
            ],
            command=command("compare", a["run_id"], b["run_id"]) + db_option(db),
        )
    )


def _unit(row: ComparedQuantity) -> str:
    return row.unit


def _forest_chart(about: str, unit: str, rows: Sequence[ComparedQuantity], alpha: float) -> Chart:
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
    placed, y = charts.categories(values, "quantity", [row.quantity for row in rows])
    shade = charts.colour("kind", {"apart": HIT, "not": QUIET}, legend=False)
    layers = [
        charts.line_at(0, colour=INK, strokeDash=[3, 3]),
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {
                "y": y,
                "x": charts.quantity("low", title, scale=scale),
                "x2": {"field": "high"},
                "color": shade,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {
                "y": y,
                "x": charts.quantity("difference", title, scale=scale),
                "color": shade,
                "tooltip": charts.tooltip(
                    ("quantity", "quantity"),
                    ("difference", "B - A", "+.3g"),
                    ("p", "adjusted p", ".2g"),
                ),
            },
        },
    ]
    says = f"{about}: the difference of {len(rows)} quantities between the runs, with its interval"
    return charts.chart(says, placed, layers, width=230, height={"step": 22})
