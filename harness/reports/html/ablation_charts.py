"""Pictures of an ablation: beside its controls, by family, by dose, and one feature at a time."""

from harness.reports.html import charts
from harness.reports.html.charts import HIT, INK, QUIET, Chart
from harness.reports.run_data import Row


def impact_in(unit: str) -> str:
    """What an axis of impacts says."""
    return f"mean impact, {unit}"


def _interval(row: Row) -> dict[str, object]:
    whole = row["ci_low"] is not None and row["ci_high"] is not None
    return {
        "impact": row["mean_impact"],
        "low": row["ci_low"] if whole else None,
        "high": row["ci_high"] if whole else None,
        "features": row.get("features"),
    }


def controls_chart(target: Row, controls: list[Row], unit: str = "nats") -> Chart | None:
    """The matched random sets as dots, the target as a line with its interval."""
    if not controls:
        return None
    dots = {
        "data": {"values": [_interval(row) for row in controls]},
        "transform": [
            {"bin": {"maxbins": 60}, "field": "impact", "as": "at"},
            {"window": [{"op": "row_number", "as": "nth"}], "groupby": ["at"]},
        ],
        "mark": {"type": "point", "filled": True, "size": 45, "color": QUIET, "opacity": 1},
        "encoding": {
            "x": charts.quantity("impact", impact_in(unit)),
            "y": charts.quantity(
                "nth", None, axis=None, scale={"domain": [0, max(8, len(controls) // 2)]}
            ),
            "tooltip": charts.tooltip(("features", "matched random set"), ("impact", unit, "+.3f")),
        },
    }
    mine = {"data": {"values": [_interval(target)]}}
    tip = charts.tooltip(("features", "target"), ("impact", unit, "+.3f"))
    layers = [charts.line_at(0, colour=INK, strokeDash=[3, 3])]
    if _interval(target)["low"] is not None:
        layers.append(
            mine
            | {
                "mark": {"type": "rect", "color": "var(--band)"},
                "encoding": {"x": charts.quantity("low", impact_in(unit)), "x2": {"field": "high"}},
            }
        )
    layers += [
        dots,
        mine
        | {
            "mark": {"type": "rule", "color": HIT, "strokeWidth": 3},
            "encoding": {"x": charts.quantity("impact", impact_in(unit)), "tooltip": tip},
        },
    ]
    stronger = sum(abs(row["mean_impact"]) >= abs(target["mean_impact"]) for row in controls)
    says = (
        f"The target moves the answers by {target['mean_impact']:+.3f} {unit}; {stronger} of "
        f"{len(controls)} matched random sets move them at least as far"
    )
    return charts.chart(says, [], layers, width=310, height=110)


def families_chart(name: str, rows: list[Row], unit: str = "nats") -> Chart | None:
    """Target and the mean of the controls in each family."""
    if not rows:
        return None
    order = [row["family"] for row in sorted(rows, key=lambda row: -row["target"])]
    kinds = {"target": HIT, "controls, mean": QUIET}
    values = [
        {"family": row["family"], "who": who, "impact": round(value, 4)}
        for row in rows
        for who, value in zip(kinds, (row["target"], row["controls"]), strict=True)
        if value is not None
    ]
    placed, y = charts.categories(values, "family", order)
    layers = [
        charts.line_at(0, colour=INK, strokeDash=[3, 3]),
        {
            "mark": {"type": "rule", "color": QUIET},
            "encoding": {
                "y": y,
                "x": {"aggregate": "min", **charts.quantity("impact", impact_in(unit))},
                "x2": {"aggregate": "max", "field": "impact"},
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
            "encoding": {
                "y": y,
                "x": charts.quantity("impact", impact_in(unit)),
                "color": charts.colour("who", kinds),
                "tooltip": charts.tooltip(
                    ("family", "family"), ("who", "edit"), ("impact", unit, "+.3f")
                ),
            },
        },
    ]
    says = f"Impact of {name} on each of {len(order)} families, beside its controls' mean"
    return charts.chart(says, placed, layers, width=230, height={"step": 15})


def doses_chart(name: str, rows: list[Row], unit: str = "nats") -> Chart | None:
    """Impact against the factor by which the features are scaled; 1 leaves them."""
    if not rows:
        return None
    values = [{"dose": row["dose"]} | _interval(row) for row in rows]
    across = charts.quantity(
        "dose",
        "features scaled by",
        axis={"values": [row["dose"] for row in rows], "labelExpr": charts.LABEL_AS_IS},
    )
    up = charts.quantity("impact", impact_in(unit))
    layers = [charts.line_at(0, "y", INK, strokeDash=[3, 3])]
    if all(one["low"] is not None for one in values):
        layers.append(
            {
                "mark": {"type": "area", "color": "var(--band)"},
                "encoding": {
                    "x": across,
                    "y": charts.quantity("low", impact_in(unit)),
                    "y2": {"field": "high"},
                },
            }
        )
    layers.append(
        {
            "mark": {
                "type": "line",
                "color": HIT,
                "point": {"filled": True, "color": HIT, "size": 50},
            },
            "encoding": {
                "x": across,
                "y": up,
                "tooltip": charts.tooltip(("dose", "factor", "~g"), ("impact", unit, "+.3f")),
            },
        }
    )
    controlled = [row for row in rows if row["controls"] is not None]
    if controlled:
        tip = charts.tooltip(("dose", "factor", "~g"), ("controls", f"controls, {unit}", "+.3f"))
        layers.append(
            {
                "data": {
                    "values": [
                        {key: row[key] for key in ("dose", "controls")} for row in controlled
                    ]
                },
                "mark": {"type": "point", "shape": "diamond", "color": QUIET, "size": 60},
                "encoding": {
                    "x": across,
                    "y": charts.quantity("controls", impact_in(unit)),
                    "tooltip": tip,
                },
            }
        )
    impacts = ", ".join(map(_dose_words, rows))
    return charts.chart(
        f"Impact of {name} by factor, {unit}: {impacts}", values, layers, width=300, height=150
    )


def _dose_words(row: Row) -> str:
    controls = "" if row["controls"] is None else f" (controls {row['controls']:+.2f})"
    return f"{row['dose']:g}: {row['mean_impact']:+.2f}{controls}"


def parts_chart(target: Row, singles: list[Row], unit: str = "nats") -> Chart | None:
    """Each feature alone, their sum, and all of them together."""
    if len(singles) < 2:
        return None
    total = sum(row["mean_impact"] for row in singles)
    rows = [
        {"name": row["features"], "feature": row["features"], "kind": "alone"} | _interval(row)
        for row in sorted(singles, key=lambda row: -abs(row["mean_impact"]))
    ]
    rows.append({"name": "sum of these", "kind": "sum", "impact": total, "low": None, "high": None})
    rows.append({"name": "all together", "kind": "together"} | _interval(target))
    placed, y = charts.categories(rows, "name", [str(row["name"]) for row in rows])
    layers = [
        charts.line_at(0, colour=INK),
        {
            "mark": {"type": "bar", "height": 9},
            "encoding": {
                "y": y,
                "x": charts.quantity("impact", impact_in(unit)),
                "color": charts.colour(
                    "kind",
                    {"alone": QUIET, "sum": "var(--quiet-strong)", "together": HIT},
                    legend=False,
                ),
                "tooltip": charts.tooltip(
                    ("name", "feature (layer:number)"), ("impact", unit, "+.3f")
                ),
            },
        },
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "color": INK},
            "encoding": {
                "y": y,
                "x": charts.quantity("low", impact_in(unit)),
                "x2": {"field": "high"},
            },
        },
    ]
    says = (
        f"Each of {len(singles)} features alone; together {target['mean_impact']:+.3f} {unit}, "
        f"the sum of all {total:+.3f}"
    )
    return charts.chart(says, placed, layers, width=300, height={"step": 16})
