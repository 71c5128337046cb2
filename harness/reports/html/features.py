"""The features that differ most and those that were edited: numbers, every pair, tokens in context."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness.reports.html import charts
from harness.reports.html.charts import INK, Chart
from harness.reports.html.density import COLOURS, Density, density_of, variant_colours
from harness.reports.labels import shown_features
from harness.reports.run_data import Row, output_scores, query_rows, rows_with, table_rows
from harness.reports.text import shown_token
from harness.specs.targets import feature_page
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.interventions import Interventions
from harness.store.tables.observations import FeatureLogits
from harness.store.tables.results import FeatureLabels, FeatureTests

EVERY = 999_999_999
SPOTS = 100  # values that differ by less than this part of the largest are one mark


@dataclass(frozen=True)
class Token:
    """A token's text, and the feature's value on it; `share` is of the feature's peak here.

    `answer` is whether it belongs to what the variant says, `read` whether it alone is the readout.
    """

    text: str
    value: float = 0.0
    share: float = 0.0
    answer: bool = False
    read: bool = False


@dataclass(frozen=True)
class Context:
    """The tokens around a feature's peak in one prompt."""

    prompt_id: str
    family: str
    label: str
    peak: float
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class FeatureLabel:
    """What somebody, mostly a model, says that the feature means, and since when it is known here."""

    text: str
    explainer: str
    date: str


@dataclass(frozen=True)
class TokenLogit:
    """A token, and what the feature's decoder row writes to its logit."""

    token: str
    logit: float


@dataclass(frozen=True)
class FeatureCard:
    """One feature as it is shown; `rank` is None where it is silent on the confirming families.

    `logits` pairs the tokens that it moves up and down most by itself, the most first; `output` is whether
    these come out when it is amplified, a row of `output_scores`.
    """

    layer: int
    feature: int
    rank: int | None
    row: Row
    edited_by: tuple[str, ...]
    label: FeatureLabel | None
    chart: Chart | None
    density: Density | None
    logits: tuple[tuple[TokenLogit, TokenLogit], ...]
    output: Row | None
    contexts: tuple[Context, ...]
    page: str | None

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"feature-{self.layer}-{self.feature}"


def feature_cards(store: ReadStore, run: Run) -> list[FeatureCard]:
    """The strongest of the confirming families and those that the ablations edit, by rank."""
    tested = {
        (row["layer"], row["feature"]): row
        for row in query_rows(store, "top_features", run=run["run_id"], limit=EVERY)
    }
    edited, labels = _ablations_by_feature(store, run), _labels(store, run)
    sources = dict(zip(run["layers"], run["neuronpedia"] or (), strict=False))
    logits, output = _logits(store, run), output_scores(store, run["run_id"])
    last = len(tested) + 1
    shown = sorted(
        shown_features(store, run), key=lambda key: tested.get(key, {}).get("rank", last)
    )
    return [
        FeatureCard(
            layer=layer,
            feature=feature,
            rank=tested[layer, feature]["rank"] if (layer, feature) in tested else None,
            row=_test_row(store, run, layer, feature) | tested.get((layer, feature), {}),
            edited_by=tuple(edited.get((layer, feature), ())),
            label=labels.get((layer, feature)),
            chart=_pairs_chart(store, run, layer, feature),
            density=density_of(store, run, layer, feature),
            logits=logits.get((layer, feature), ()),
            output=output.get((layer, feature)),
            contexts=_contexts(store, run, layer, feature),
            page=feature_page(sources.get(layer), feature),
        )
        for layer, feature in shown
    ]


def _ablations_by_feature(store: ReadStore, run: Run) -> dict[tuple[int, int], list[str]]:
    """The ablations that edit each feature, in the order of their ranks."""
    ablations: dict[tuple[int, int], list[str]] = {}
    rows = table_rows(store, Interventions, run["run_id"], role="target")
    for row in sorted(rows, key=lambda row: (row["ablation"], row["rank"])):
        ablations.setdefault((row["layer"], row["feature"]), []).append(row["ablation"])
    return ablations


def _labels(store: ReadStore, run: Run) -> dict[tuple[int, int], FeatureLabel]:
    """Those that are in the results file, by layer and feature."""
    layers = {
        name: n for n, name in zip(run["layers"], run["neuronpedia"] or (), strict=False) if name
    }
    return {
        (layers[row["source"]], row["feature"]): FeatureLabel(
            row["label"], row["explainer"] or "somebody", f"{row['fetched_at']:%d %B %Y}"
        )
        for row in (store.read(FeatureLabels).rows() if layers else ())
        if row["source"] in layers and row["label"]
    }


def _logits(
    store: ReadStore, run: Run
) -> dict[tuple[int, int], tuple[tuple[TokenLogit, TokenLogit], ...]]:
    """What each feature moves most, up and down side by side."""
    sides: dict[tuple[int, int], dict[str, list[TokenLogit]]] = defaultdict(
        lambda: defaultdict(list)
    )
    rows = rows_with(table_rows(store, FeatureLogits, run["run_id"]), "logit")
    for row in sorted(rows, key=lambda row: row["rank"]):
        of_feature = sides[row["layer"], row["feature"]]
        of_feature[row["side"]].append(TokenLogit(shown_token(row["token"]), row["logit"]))
    return {key: tuple(zip(both["up"], both["down"], strict=False)) for key, both in sides.items()}


def _test_row(store: ReadStore, run: Run, layer: int, feature: int) -> Row:
    """Its test; nothing but its name where it is silent on the confirming families."""
    rows = table_rows(
        store, FeatureTests, run["run_id"], split="confirmation", layer=layer, feature=feature
    )
    silent = dict.fromkeys(FeatureTests.names())
    return silent | {"layer": layer, "feature": feature} | (rows[0] if rows else {})


def _pairs_chart(store: ReadStore, run: Run, layer: int, feature: int) -> Chart | None:
    """Its values on both variants of every pair, family by family; None where it is always silent."""
    rows = query_rows(store, "pairs_of_feature", run=run["run_id"], layer=layer, feature=feature)
    pairs = rows_with(rows, "after_correct", "after_misconception", "difference")
    spots: dict[tuple[str, str, float], dict[str, Any]] = {}
    means: dict[str, list[float]] = {}
    sides: dict[str, str] = {}
    largest = max((max(p["after_correct"], p["after_misconception"]) for p in pairs), default=0.0)
    if not largest:
        return None
    for pair in pairs:
        family = charts.family_label(pair["family"], pair["split"])
        sides[family] = pair["split"]
        means.setdefault(family, []).append(pair["difference"])
        for role in COLOURS:
            variant, value = run[f"variant_{role}"], pair[f"after_{role}"]
            # Values that cannot be told apart in the picture are one mark that says how many it is.
            spot = (family, variant, round(value / largest * SPOTS))
            mark = {
                "family": family,
                "variant": variant,
                "value": float(f"{value:.3g}"),
                "pairs": 0,
            }
            spots.setdefault(spot, mark)["pairs"] += 1
    order = sorted(means, key=lambda f: (sides[f], -sum(means[f]) / len(means[f]), f))
    placed, y = charts.categories(list(spots.values()), "family", order)
    tip = charts.tooltip(
        ("family", "family"), ("variant", "variant"), ("value", "value", ".3g"), ("pairs", "pairs")
    )
    marks = {
        "mark": {"type": "point", "shape": "stroke", "angle": 90, "size": 90, "strokeWidth": 2},
        "encoding": {
            "y": y,
            "x": charts.quantity("value", "the feature's value at the readout"),
            "color": charts.colour("variant", variant_colours(run)),
            "opacity": {"value": 0.8},
            "tooltip": tip,
        },
    }
    extremes = [
        f"{charts.shorten(f)} {sum(means[f]) / len(means[f]):+.3g}" for f in (order[0], order[-1])
    ]
    return charts.chart(
        f"Values of feature {layer}:{feature} on both variants of {len(pairs)} pairs; mean differences "
        f"from {' to '.join(extremes)}",
        placed,
        [charts.line_at(0, colour=INK), marks],
        width=215,
        height={"step": 13},
    )


def _contexts(store: ReadStore, run: Run, layer: int, feature: int) -> tuple[Context, ...]:
    rows = query_rows(store, "feature_in_context", run=run["run_id"], layer=layer, feature=feature)
    return tuple(
        Context(prompt_id, *_context_parts(list(tokens), run))
        for prompt_id, tokens in groupby(rows, key=lambda row: row["prompt_id"])
    )


def _context_parts(rows: list[Row], run: Run) -> tuple[str, str, float, tuple[Token, ...]]:
    first = rows[0]
    tokens = tuple(_tokens(rows, first["peak"], run["readout"] == "last_prompt_token"))
    return first["family"], run[f"variant_{first['label']}"], first["peak"], tokens


def _tokens(rows: Sequence[Row], peak: float, reads_last: bool) -> Iterable[Token]:
    if rows[0]["position"] > 0:
        yield Token("\u2026")
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        text = shown_token(row["token"])
        last = row["part"] == "prompt" and after is not None and after["part"] == "answer"
        yield Token(
            text,
            row["value"],
            max(0.0, min(1.0, row["value"] / peak)) if peak else 0.0,
            answer=row["part"] == "answer",
            read=reads_last and last,
        )
    if rows[-1]["position"] < rows[-1]["last_position"]:
        yield Token("\u2026")
