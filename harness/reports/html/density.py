"""How often a feature fires how strongly, token by token."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.reports.html import charts
from harness.reports.html.charts import CORRECT, MISCONCEPTION, Chart
from harness.reports.run_data import Row, query_rows
from harness.specs.prompt import Label
from harness.store.find_run import Run
from harness.store.interface import ReadStore

COLOURS: Mapping[Label, str] = {"correct": CORRECT, "misconception": MISCONCEPTION}


@dataclass(frozen=True)
class Density:
    """On how many of the traced tokens a feature fires, and how strongly: bars by its value."""

    fires: int
    tokens: int
    chart: Chart


def variant_colours(run: Run) -> dict[str, str]:
    """The colour of each variant, by what the run calls it."""
    return {run[f"variant_{role}"]: colour for role, colour in COLOURS.items()}


def density_of(store: ReadStore, run: Run, layer: int, feature: int) -> Density | None:
    """None where it fires on no token that was traced."""
    rows = query_rows(store, "feature_density", run=run["run_id"], layer=layer, feature=feature)
    if not rows or not rows[0]["n_tokens"]:
        return None
    fires, tokens = sum(row["tokens"] for row in rows), rows[0]["n_tokens"]
    return Density(fires, tokens, _chart(f"{layer}:{feature}", rows, fires, tokens, run))


def _chart(name: str, rows: list[Row], fires: int, tokens: int, run: Run) -> Chart:
    values = [
        {
            "from": float(f"{row['value_from']:.4g}"),
            "to": float(f"{row['value_to']:.4g}"),
            "variant": run[f"variant_{row['label']}"],
            "tokens": row["tokens"],
        }
        for row in rows
    ]
    bars = {
        "mark": {"type": "bar", "binSpacing": 0.5},
        "encoding": {
            "x": charts.quantity(
                "from", "the feature's value on a token", bin={"binned": True}, scale={"zero": True}
            ),
            "x2": {"field": "to"},
            "y": charts.quantity("tokens", "tokens", axis={"tickCount": 4}, stack="zero"),
            "color": charts.colour("variant", variant_colours(run)),
            "tooltip": charts.tooltip(
                ("from", "value from", ".3g"),
                ("to", "to", ".3g"),
                ("variant", "variant"),
                ("tokens", "tokens"),
            ),
        },
    }
    most = max(rows, key=lambda row: row["tokens"])
    says = (
        f"Values of feature {name} on the {fires} of {tokens} tokens where it fires; most often "
        f"between {most['value_from']:.3g} and {most['value_to']:.3g}, at most {rows[-1]['value_to']:.3g}"
    )
    return charts.chart(says, values, [bars], width=230, height=80)
