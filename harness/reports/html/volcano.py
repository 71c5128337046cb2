"""Every feature of a layer: how far the variants part, and how surely; a placebo's on the same axes."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.reports.html import charts
from harness.reports.html.charts import HIT, INK, QUIET, Chart, ChartSpec
from harness.reports.run_data import Row, rows_with, table_rows
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.results import FeatureTests

WIDTH, HEIGHT = 330, 150
PIXEL = 2.5  # features of no small p that fall on one spot so large are one dot
DECADES = 3  # powers of ten that are spaced by their logarithm; smaller differences evenly
LARGER = "larger"  # the kind of the dots without a small p
Key = tuple[int, int]


@dataclass(frozen=True)
class LayerPanel:
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

    @property
    def linear(self) -> float:
        return float(10.0 ** (math.floor(math.log10(self.largest)) + 1 - DECADES))

    @property
    def ticks(self) -> list[float]:
        decades = [self.linear * 10**n for n in range(1, DECADES + 1)]
        # A power of ten by way of its name: 0.001 and not 0.0010000000000000002.
        up = [float(f"{one:.0e}") for one in decades if one <= self.largest]
        return [-one for one in reversed(up)] + [0.0] + up

    def spot(self, row: Row) -> tuple[int, int]:
        reach = math.asinh(self.largest / self.linear)
        across = math.asinh(row["mean_difference"] / self.linear) / reach * WIDTH / 2
        up = abs(row["statistic"]) / self.highest * HEIGHT
        return round(across / PIXEL), round(up / PIXEL)


def layer_panels(
    store: ReadStore, run: Run, placebo: Run | None, shown: Collection[Key] = ()
) -> list[LayerPanel]:
    """One panel a layer, from the confirming families; those `shown` elsewhere keep their own dot."""
    mine = _test_rows(store, run)
    other = _test_rows(store, placebo) if placebo else []
    if not mine:
        return []
    axes = _Axes(
        max(abs(row["mean_difference"]) for row in (*mine, *other)) or 1.0,
        max(abs(row["statistic"]) for row in (*mine, *other)) or 1.0,
    )
    alpha = run["alpha"]
    threshold = min(
        (abs(row["statistic"]) for row in mine if _is_significant(row, alpha)), default=None
    )
    panels = []
    for layer in run["layers"]:
        tested, of_placebo = (
            [row for row in rows if row["layer"] == layer] for rows in (mine, other)
        )
        panels.append(
            LayerPanel(
                layer,
                len(tested),
                sum(_is_significant(row, alpha) for row in tested),
                _volcano_chart(tested, axes, alpha, threshold, shown, f"layer {layer}"),
                len(of_placebo),
                sum(_is_significant(row, alpha) for row in of_placebo),
                _volcano_chart(of_placebo, axes, alpha, None, (), f"layer {layer}, placebo")
                if of_placebo
                else None,
            )
        )
    return panels


def _test_rows(store: ReadStore, run: Run) -> list[Row]:
    rows = table_rows(store, FeatureTests, run["run_id"], split="confirmation")
    return rows_with(rows, "mean_difference", "statistic")


def _is_significant(row: Row, alpha: float) -> bool:
    return row["p_adjusted"] is not None and row["p_adjusted"] <= alpha


def _volcano_chart(
    rows: Sequence[Row],
    axes: _Axes,
    alpha: float,
    threshold: float | None,
    shown: Collection[Key],
    what: str,
) -> Chart:
    """Size of the statistic against the mean difference; a dashed line at `threshold`, if there is one."""
    small = f"adjusted p at most {alpha:g}"
    layers = [charts.line_at(0), _points(axes, small)]
    if threshold is not None:
        layers.insert(0, charts.line_at(threshold, "y", INK, strokeDash=[3, 3]))
    values = [
        {
            "feature": f"{row['layer']}:{row['feature']}",
            "difference": float(f"{row['mean_difference']:.3g}"),
            "statistic": round(abs(row["statistic"]), 2),
            "p": row["p_adjusted"] and float(f"{row['p_adjusted']:.2g}"),
            "kind": small if _is_significant(row, alpha) else LARGER,
            "here": count,
        }
        for row, count in _merge_spots(rows, axes, alpha, shown)
    ]
    return charts.chart(f"{what}: {_says(rows, alpha)}", values, layers, width=WIDTH, height=HEIGHT)


def _points(axes: _Axes, small: str) -> ChartSpec:
    """The dots; those of the kind `small` are larger and coloured."""
    across = charts.quantity(
        "difference",
        "mean difference between the variants",
        scale={
            "type": "symlog",
            "constant": axes.linear,
            "domain": [-axes.largest, axes.largest],
            "nice": False,
        },
        axis={"values": axes.ticks, "labelExpr": charts.LABEL_AS_IS, "grid": False},
    )
    up = charts.quantity(
        "statistic",
        "|test statistic|",
        scale={"domain": [0, axes.highest * 1.04], "nice": False},
    )
    is_small = f"datum.kind === '{small}'"
    return {
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": across,
            "y": up | {"axis": {"tickCount": 4}},
            "color": charts.colour("kind", {small: HIT, LARGER: QUIET}, legend=False),
            "size": {"condition": {"test": is_small, "value": 32}, "value": 14},
            "opacity": {"condition": {"test": is_small, "value": 1}, "value": 0.6},
            "tooltip": charts.tooltip(
                ("feature", "feature (layer:number)"),
                ("difference", "mean difference", "+.3g"),
                ("statistic", "|statistic|", ".2f"),
                ("p", "adjusted p", ".2g"),
                ("here", "features at this spot"),
            ),
        },
    }


def _says(rows: Sequence[Row], alpha: float) -> str:
    """What the picture shows, for who does not see it."""
    hits = sum(_is_significant(row, alpha) for row in rows)
    strongest = sorted(rows, key=lambda row: -abs(row["statistic"]))[:3]
    named = ", ".join(
        f"{r['layer']}:{r['feature']} by {r['mean_difference']:+.3g}" for r in strongest
    )
    says = f"{hits} of {len(rows)} features with adjusted p at most {alpha:g}"
    return f"{says}; the strongest are {named}" if named else says


def _merge_spots(
    rows: Iterable[Row], axes: _Axes, alpha: float, shown: Collection[Key]
) -> list[tuple[Row, int]]:
    """What is drawn and for how many features: what was found by itself and last, others by spots."""
    spots: dict[object, tuple[Row, int]] = {}
    for row in sorted(rows, key=lambda row: -abs(row["statistic"])):
        key = (row["layer"], row["feature"])
        alone = _is_significant(row, alpha) or key in shown
        spot: object = key if alone else ("spot", *axes.spot(row))
        strongest, count = spots.get(spot, (row, 0))
        spots[spot] = strongest, count + 1
    return sorted(
        spots.values(),
        key=lambda one: (_is_significant(one[0], alpha), one[0]["layer"], one[0]["feature"]),
    )
