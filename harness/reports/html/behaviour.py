"""What the model answers, family by family."""

from dataclasses import dataclass
from typing import Any

from harness.reports.html import charts
from harness.reports.html.charts import CORRECT, INK, MISCONCEPTION, Chart, family_label
from harness.reports.run_data import Row, query_rows, rows_with, table_rows
from harness.specs.variants import Variants
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.runs import Prompts

FIELDS = (("after_correct", CORRECT), ("after_misconception", MISCONCEPTION))


@dataclass(frozen=True)
class Behaviour:
    """Each family's preference, and its chart; `contrasted` where the variants' prompts differ.

    On `prefer_right` of `n_prompts` the right answer has the larger probability; a prompt that both
    variants of a pair share counts once.
    """

    families: list[Row]
    contrasted: bool
    prefer_right: int
    n_prompts: int
    chart: Chart


def behaviour_of(store: ReadStore, run: Run, variants: Variants) -> Behaviour | None:
    """None where nothing was observed."""
    families = rows_with(
        query_rows(store, "behaviour_by_family", run=run["run_id"]), "after_correct"
    )
    answers = rows_with(query_rows(store, "answers", run=run["run_id"]), "logit_difference")
    if not families or not answers:
        return None
    prefers = {row["prompt_id"]: row["logit_difference"] > 0 for row in answers}
    pairs: dict[str, dict[str, bool]] = {}
    for row in table_rows(store, Prompts, run["run_id"]):
        if row["prompt_id"] in prefers:
            pairs.setdefault(row["pair_id"], {})[row["prompt"]] = prefers[row["prompt_id"]]
    contrasted = any(len(texts) > 1 for texts in pairs.values())
    every = [right for texts in pairs.values() for right in texts.values()]
    return Behaviour(
        families, contrasted, sum(every), len(every), _chart(families, contrasted, variants)
    )


def _title(variants: Variants) -> str:
    right = "right" if variants.are_roles else variants.answer("correct")
    return f"log p({right}) - log p({variants.answer('misconception')}), nats"


def _chart(families: list[Row], contrasted: bool, variants: Variants) -> Chart:
    title = _title(variants)
    names = [f"after {name}" for name in variants.names]
    colours = {name: colour for name, (_, colour) in zip(names, FIELDS, strict=True)}
    kinds = [(name, field) for name, (field, _) in zip(names, FIELDS, strict=True)]
    families = [row | {"family": family_label(row["family"], row["split"])} for row in families]
    order = [row["family"] for row in sorted(families, key=lambda row: row["split"])]
    kinds = kinds if contrasted else kinds[:1]
    values: list[dict[str, Any]] = [
        {"family": row["family"], "variant": kind, "value": round(value, 4)}
        for row in families
        for kind, field in kinds
        if (value := row[field]) is not None
    ]
    placed, y = charts.categories(values, "family", order)
    tip = charts.tooltip(("family", "family"), ("variant", "context"), ("value", "nats", "+.3f"))
    spread = {
        "mark": {"type": "rule", "color": "var(--quiet)", "strokeWidth": 2},
        "encoding": {
            "y": y,
            "x": {"aggregate": "min", **charts.quantity("value", title)},
            "x2": {"aggregate": "max", "field": "value"},
        },
    }
    dots = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
        "encoding": {
            "y": y,
            "x": charts.quantity("value", title),
            "color": charts.colour("variant", colours, legend=contrasted),
            "tooltip": tip,
        },
    }
    contexts = "after a correct and after a misconceived context"
    if not variants.are_roles:
        contexts = " and ".join(names)
    words = contexts if contrasted else "the mean over pairs"
    return charts.chart(
        f"Preference for the {variants.answer('correct')} in each of {len(families)} families, {words}",
        placed,
        [charts.line_at(0, colour=INK, strokeDash=[3, 3]), *([spread] if contrasted else []), dots],
        width=235,
        height={"step": 15},
    )
