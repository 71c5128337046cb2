"""On what an ablation's impact depends: by dose and by tags of the prompts, to look around."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.reports.html import charts
from harness.reports.html.charts import INK, QUIET, Chart
from harness.reports.run_data import Row, query_rows, rows_with
from harness.store.find_run import Run
from harness.store.interface import ReadStore

DIFFERENCE = "difference of impact, nats"


@dataclass(frozen=True)
class ModeratorPanel:
    """An ablation's moderators, what could not be estimated last; no picture where nothing could be."""

    rows: list[Row]
    chart: Chart | None


def moderator_panels(store: ReadStore, run: Run) -> Mapping[str, ModeratorPanel]:
    """One for each ablation that has any, by its name; none of runs of before these were estimated."""
    rows = query_rows(store, "moderators", run=run["run_id"])
    panels = {}
    for ablation in dict.fromkeys(row["ablation"] for row in rows):
        own = [row for row in rows if row["ablation"] == ablation]
        own.sort(key=lambda row: row["estimate"] is None)  # stable
        panels[ablation] = ModeratorPanel(
            own, _chart(ablation, rows_with(own, "ci_low", "ci_high"))
        )
    return panels


def _chart(name: str, rows: list[Row]) -> Chart | None:
    """Each level's difference from its term's first level, with its interval."""
    if not rows:
        return None
    values = [
        {
            "level": f"{row['term']}: {row['level']}",
            "difference": row["estimate"],
            "low": row["ci_low"],
            "high": row["ci_high"],
        }
        for row in rows
    ]
    placed, y = charts.categories(values, "level", [str(one["level"]) for one in values])
    layers = [
        charts.line_at(0, colour=INK, strokeDash=[3, 3]),
        {
            "mark": {"type": "rule", "color": QUIET, "strokeWidth": 3},
            "encoding": {
                "y": y,
                "x": charts.quantity("low", DIFFERENCE),
                "x2": {"field": "high"},
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 55, "color": INK, "opacity": 1},
            "encoding": {
                "y": y,
                "x": charts.quantity("difference", DIFFERENCE),
                "tooltip": charts.tooltip(
                    ("level", "level"),
                    ("difference", "nats", "+.3f"),
                    ("low", "from", "+.3f"),
                    ("high", "to", "+.3f"),
                ),
            },
        },
    ]
    says = f"Exploratory: how the impact of {name} differs at {len(rows)} levels from the first of each"
    return charts.chart(says, placed, layers, width=200, height={"step": 18})
