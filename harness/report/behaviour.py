"""What the model answers, family by family."""

from dataclasses import dataclass
from typing import Any

from harness.report import charts
from harness.report.charts import CORRECT, INK, MISCONCEPTION, Chart
from harness.report.source import Row, Run, Source, asked

TITLE = "log p(right) - log p(misconception), nats"
COLOURS = {"after correct": CORRECT, "after misconception": MISCONCEPTION}


@dataclass(frozen=True)
class Behaviour:
    """Each family's preference, and its chart; `contrasted` where the variants' prompts differ."""

    families: list[Row]
    contrasted: bool
    prefer_right: int
    prompts: int
    chart: Chart


def behaviour_of(source: Source, run: Run) -> Behaviour | None:
    """None where nothing was observed."""
    families = asked(source, "behaviour_by_family", run=run["run_id"])
    prompts = asked(source, "answers", run=run["run_id"])
    if not families or not prompts:
        return None
    contrasted = any(row["difference"] for row in families)
    return Behaviour(
        families,
        contrasted,
        sum(row["logit_difference"] > 0 for row in prompts),
        len(prompts),
        _chart(families, contrasted),
    )


def _chart(families: list[Row], contrasted: bool) -> Chart:
    order = [row["family"] for row in families]
    values: list[dict[str, Any]] = []
    for row in families:
        both = {
            "after correct": row["after_correct"],
            "after misconception": row["after_misconception"],
        }
        kinds = both if contrasted else {"after correct": row["after_correct"]}
        values += [
            {
                "family": row["family"],
                "side": row["split"],
                "variant": kind,
                "value": round(value, 4),
            }
            for kind, value in kinds.items()
        ]
    y = charts.by_name("family", order)
    tip = charts.tips(
        ("family", "family"), ("variant", "context"), ("value", "nats", "+.3f"), ("side", "side")
    )
    spread = {
        "mark": {"type": "rule", "color": "var(--quiet)", "strokeWidth": 2},
        "encoding": {
            "y": y,
            "x": {"aggregate": "min", **charts.x("value", TITLE)},
            "x2": {"aggregate": "max", "field": "value"},
        },
    }
    dots = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
        "encoding": {
            "y": y,
            "x": charts.x("value", TITLE),
            "color": charts.colour("variant", COLOURS, legend=contrasted),
            "tooltip": tip,
        },
    }
    words = (
        "after a correct and after a misconceived context" if contrasted else "the mean over pairs"
    )
    return charts.chart(
        f"Preference for the right answer in each of {len(families)} families, {words}",
        values,
        [charts.line_at(0, colour=INK, strokeDash=[3, 3]), *([spread] if contrasted else []), dots],
        width=340,
        height={"step": 15},
    )
