"""Every feature of a layer: how far the variants part, and how surely; a placebo's on the same axes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.records import FeatureTests
from harness.report import charts
from harness.report.charts import HIT, INK, QUIET, Chart
from harness.report.source import Row, Run, Source, rows_of

WIDTH, HEIGHT = 330, 150
PIXEL = 2.5  # features that fall on one spot so large are drawn once
LINEAR = 0.1  # differences below this are spaced evenly, above it by their logarithm


@dataclass(frozen=True)
class Layer:
    """One layer's features, and the placebo's of the same layer where there is one."""

    layer: int
    tested: int
    below: int
    chart: Chart
    placebo_tested: int = 0
    placebo_below: int = 0
    placebo: Chart | None = None


@dataclass(frozen=True)
class _Axes:
    largest: float
    highest: float

    def spot(self, row: Row) -> tuple[int, int]:
        reach = math.asinh(self.largest / LINEAR) or 1.0
        across = math.asinh(row["mean_difference"] / LINEAR) / reach * WIDTH / 2
        up = abs(row["statistic"]) / self.highest * HEIGHT
        return round(across / PIXEL), round(up / PIXEL)


def layers_of(source: Source, run: Run, placebo: Run | None) -> list[Layer]:
    """One panel a layer, from the confirming families."""
    mine = _tested(source, run)
    other = _tested(source, placebo) if placebo else []
    if not mine:
        return []
    axes = _Axes(
        max(abs(row["mean_difference"]) for row in (*mine, *other)) or 1.0,
        max(abs(row["statistic"]) for row in (*mine, *other)) or 1.0,
    )
    alpha = run["alpha"]
    threshold = min((abs(row["statistic"]) for row in mine if _below(row, alpha)), default=None)
    found = []
    for layer in run["layers"]:
        here, there = ([row for row in rows if row["layer"] == layer] for rows in (mine, other))
        found.append(
            Layer(
                layer,
                len(here),
                sum(_below(row, alpha) for row in here),
                _panel(here, axes, alpha, threshold, f"layer {layer}"),
                len(there),
                sum(_below(row, alpha) for row in there),
                _panel(there, axes, alpha, None, f"layer {layer}, placebo") if there else None,
            )
        )
    return found


def _tested(source: Source, run: Run) -> list[Row]:
    return rows_of(source, FeatureTests, run["run_id"], split="confirmation")


def _below(row: Row, alpha: float) -> bool:
    return row["p_adjusted"] is not None and row["p_adjusted"] <= alpha


def _panel(
    rows: Sequence[Row], axes: _Axes, alpha: float, threshold: float | None, what: str
) -> Chart:
    below, above = f"adjusted p at most {alpha:g}", "larger"
    values = [
        {
            "feature": f"{row['layer']}:{row['feature']}",
            "difference": float(f"{row['mean_difference']:.3g}"),
            "statistic": round(abs(row["statistic"]), 2),
            "p": row["p_adjusted"] and float(f"{row['p_adjusted']:.2g}"),
            "kind": below if _below(row, alpha) else above,
        }
        for row in _apart(rows, axes, alpha)
    ]
    ticks = [v for p in range(-1, 4) for v in (-(10.0**p), 10.0**p) if 10.0**p <= axes.largest]
    across = charts.x(
        "difference",
        "mean difference between the variants",
        scale={
            "type": "symlog",
            "constant": LINEAR,
            "domain": [-axes.largest, axes.largest],
            "nice": False,
        },
        axis={"values": sorted([0.0, *ticks]), "labelExpr": charts.LABEL_AS_IS, "grid": False},
    )
    up = charts.x(
        "statistic", "test statistic", scale={"domain": [0, axes.highest * 1.04], "nice": False}
    )
    points = {
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": across,
            "y": up | {"axis": {"tickCount": 4}},
            "color": charts.colour("kind", {below: HIT, above: QUIET}, legend=False),
            "size": {"condition": {"test": f"datum.kind === '{below}'", "value": 32}, "value": 14},
            "opacity": {
                "condition": {"test": f"datum.kind === '{below}'", "value": 1},
                "value": 0.6,
            },
            "tooltip": charts.tips(
                ("feature", "layer:feature"),
                ("difference", "mean difference", "+.3g"),
                ("statistic", "statistic", ".2f"),
                ("p", "adjusted p", ".2g"),
            ),
        },
    }
    hits = sum(_below(row, alpha) for row in rows)
    layers = [charts.line_at(0), points]
    if threshold is not None:
        layers.insert(0, charts.line_at(threshold, "y", INK, strokeDash=[3, 3]))
    says = f"{what}: {hits} of {len(rows)} features with adjusted p at most {alpha:g}"
    return charts.chart(says, values, layers, width=WIDTH, height=HEIGHT)


def _apart(rows: Iterable[Row], axes: _Axes, alpha: float) -> list[Row]:
    """One feature for each spot of the picture, what was found drawn last."""
    spots: dict[tuple[bool, int, int], Row] = {}
    for row in sorted(rows, key=lambda row: -abs(row["statistic"])):
        spots.setdefault((_below(row, alpha), *axes.spot(row)), row)
    return sorted(
        spots.values(), key=lambda row: (_below(row, alpha), row["layer"], row["feature"])
    )
