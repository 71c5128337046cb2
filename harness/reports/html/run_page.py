"""Pages put together: facts in, one HTML text out that needs nothing else."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.names import command
from harness.reports.html.ablations import AblationSection, ablations_of
from harness.reports.html.behaviour import behaviour_of
from harness.reports.html.caveats import caveats_of, verdict_with_caveat
from harness.reports.html.charts import Chart
from harness.reports.html.claims import claims_of
from harness.reports.html.design import design_of
from harness.reports.html.estimates import figures_of
from harness.reports.html.features import FeatureCard, feature_cards
from harness.reports.html.injections import injection_panels
from harness.reports.html.known_sets import known_panels
from harness.reports.html.layout import environment, frame, number
from harness.reports.html.moderators import ModeratorPanel, moderator_panels
from harness.reports.html.stability import stability_panels
from harness.reports.html.svg import ChartRenderer
from harness.reports.html.volcano import layer_panels
from harness.reports.run_data import Row, query_rows, rows_by_ablation, rows_with, table_rows
from harness.reports.sufficiency import sufficiency_panels
from harness.reports.text import db_option, p_text, value_text
from harness.reports.transfers import transfer_panels
from harness.specs.prompt import LIMITED
from harness.specs.sites import PLACES
from harness.specs.spec import Spec
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.stored_spec import spec_mapping, stored_spec
from harness.store.tables.observations import PromptTokens, SaeHealth
from harness.store.tables.runs import Runs

PARTS = (
    ("verdicts", "Verdicts"),
    ("behaviour", "Behaviour"),
    ("layers", "Layers"),
    ("features", "Features"),
    ("ablations", "Ablations"),
    ("health", "SAE health"),
    ("power", "Power"),
    ("provenance", "Provenance"),
)
SILENT = ("spec", "analysed_spec", "question")  # shown elsewhere on the page


def run_page(store: ReadStore, run: Run, db: Path) -> str:
    """One run's report. Whatever the run has not, its part says so."""
    spec = stored_spec(run, column := "analysed_spec" if run["analysed_spec"] else "spec")
    placebo = _placebo(store, run)
    renderer = ChartRenderer()
    features = [_feature(one, renderer) for one in feature_cards(store, run)]
    shown = {(one["layer"], one["feature"]) for one in features}
    layers = layer_panels(store, run, placebo, shown)
    behaviour, figures = behaviour_of(store, run, spec.variants), figures_of(store, run, spec)
    health = table_rows(store, SaeHealth, run["run_id"])
    return (
        environment()
        .get_template("run.html")
        .render(
            **frame(f"{run['spec_name']} on {run['target']}", caveats_of(run), PARTS, db),
            run=run,
            variants=spec.variants,
            summary=_summary(run),
            with_caveat=lambda verdict: verdict_with_caveat(verdict, run),
            sql=_SqlCommand(db),
            shell=command,
            claims=[
                render_charts(one, renderer, chart="drawn")
                for one in claims_of(store, run, spec, figures)
            ],
            warnings=[
                f"the SAE of layer {r['layer']}: {r['warning']}" for r in health if r["warning"]
            ],
            behaviour=behaviour and render_charts(behaviour, renderer, chart="drawn"),
            means=list(figures.behaviour.values()),
            significant=len(figures.significant),
            tested=figures.tested,
            contrast=f"of {spec.contrast.of} minus {spec.contrast.against}",
            placebo=placebo,
            calibration=_calibration(store, placebo),
            layers=[
                render_charts(one, renderer, chart="drawn", placebo="placebo_drawn")
                for one in layers
            ],
            features=features,
            shown=shown,
            headline=lambda one: _headline(one, tested=bool(layers)),
            labelled=any(one["label"] for one in features),
            edited=any(one["edited_by"] for one in features),
            traced=len(store.read(PromptTokens, run["run_id"])) > 0,
            ablations=_ablations(store, run, db, ablations_of(store, run, spec, figures), renderer),
            health=health,
            read="" if run["hook"] == "resid_post" else PLACES.get(run["hook"], ""),
            unrecovered=_why_no_loss_recovered,
            design=design_of(store, run, spec, sum(one.tested for one in layers)),
            provenance=[
                (key.replace("_", " "), value_text(key, value))
                for key, value in run.items()
                if key not in SILENT
            ],
            rerun=command("rerun", run["run_id"]) + db_option(db),
            again=command("run", *_rerun_words(run, spec)) + db_option(db),
            spec_text=json.dumps(spec_mapping(run, column), indent=2),
        )
    )


def render_charts(card: Any, renderer: ChartRenderer, **charts: str) -> dict[str, Any]:
    """A card's fields, and each of its `charts`, by field, rendered under another name."""
    values = {field.name: getattr(card, field.name) for field in fields(card)}
    values |= {
        name: renderer.render(chart) if isinstance(chart := values[of], Chart) else None
        for of, name in charts.items()
    }
    return values


def _feature(card: FeatureCard, renderer: ChartRenderer) -> dict[str, Any]:
    density = card.density and render_charts(card.density, renderer, chart="drawn")
    drawn = render_charts(card, renderer, chart="drawn")
    return drawn | {"anchor": card.anchor, "density": density}


def _ablations(
    store: ReadStore, run: Run, db: Path, sections: list[AblationSection], renderer: ChartRenderer
) -> list[dict[str, Any]]:
    panels, stable = moderator_panels(store, run), stability_panels(store, run)
    enough, injected = sufficiency_panels(store, run), injection_panels(store, run)
    splits, matched, errors = (
        query_rows(store, name, run=run["run_id"])
        for name in ("crossfit", "matched_features", "attribution_errors")
    )
    crossfits, matches = rows_by_ablation(splits), rows_by_ablation(matched)
    outside = rows_by_ablation(rows_with(errors, "features", "error", "constant"))
    moved = transfer_panels(store, run)
    known = known_panels(store, run, [one.name for one in sections], db)
    beside = {
        one.name: {
            "stability": stable.get(one.name),
            "crossfit": crossfits.get(one.name),
            "known": known[one.name],
            "sufficiency": enough.get(one.name),
            "injection": injected.get(one.name),
            "matched": matches.get(one.name),
            "transfer": moved.get(one.name),
            "outside": outside.get(one.name, []),
        }
        for one in sections
    }
    return [_ablation(one, panels.get(one.name), renderer) | beside[one.name] for one in sections]


def _ablation(
    section: AblationSection, panel: ModeratorPanel | None, renderer: ChartRenderer
) -> dict[str, Any]:
    names = ("controls", "families", "doses", "parts")
    controls = f"{section.controls.says}." if section.controls else "It has no controls."
    return render_charts(section, renderer, **{name: f"{name}_drawn" for name in names}) | {
        "controls_said": controls,
        "moderators": panel and render_charts(panel, renderer, chart="drawn"),
    }


def _placebo(store: ReadStore, run: Run) -> Run | None:
    """The last finished run of the eval `placebo` on the same target and SAEs, best at the same readout."""
    if run["spec_name"] == "placebo":
        return None
    runs = store.read(Runs).rows()
    placebos = [
        other
        for other in runs
        if other["spec_name"] == "placebo"
        and other["status"] == "finished"
        and all(other[name] == run[name] for name in ("target", "origin", "model", "sae"))
    ]
    return max(
        placebos,
        key=lambda other: (
            other["readout"] == run["readout"],
            other["finished_at"],
            other["run_id"],
        ),
        default=None,
    )


def _calibration(store: ReadStore, placebo: Run | None) -> list[Row]:
    return query_rows(store, "placebo_calibration", run=placebo["run_id"]) if placebo else []


def _summary(run: Run) -> str:
    layers = ", ".join(map(str, run["layers"])) or "none"
    return (
        f"Run {run['run_id']}, {run['created_at']:%d %B %Y}: {run['model']} in {run['dtype']} on "
        f"{run['device']}, layers {layers}, features read at {run['readout']}."
    )


def _why_no_loss_recovered(health: Row) -> str:
    """Why an SAE has no share of recovered loss, in words."""
    loss, zeroed = health["loss"], health["loss_zeroed"]
    if loss is None or zeroed is None:
        return "not measured"
    return (
        f"none to recover: without the layer's output the loss is {zeroed:.3f} nats a token, "
        f"with it {loss:.3f}"
    )


class _SqlCommand:
    """The command that shows a query's rows."""

    def __init__(self, db: Path) -> None:
        self._db = db_option(db)

    def __call__(self, *words: str) -> str:
        return command("sql", *words) + self._db


def _rerun_words(run: Run, spec: Spec) -> list[str]:
    """The arguments of `harness run` that do the same again, on whatever device there is."""
    path = run["spec_path"]
    words = [
        f"./{path}" if path.startswith("-") else path,
        "--target",
        run["target"],
        "--dtype",
        run["dtype"],
    ]
    if run["attention"] != "eager":
        words += ["--attn", run["attention"]]
    chosen = spec.targets.get(run["target"])
    if run["origin"] == "mock" and not str((chosen and chosen.sae) or run["target"]).startswith(
        "mock"
    ):
        words.append("--mock")
    if limit := re.match(rf"{LIMITED}(\d+)", str(run["exploratory"] or "")):
        words += ["--limit", limit[1]]
    return words


def _headline(card: Mapping[str, Any], tested: bool) -> str:
    """A feature in one line."""
    row = card["row"]
    parts = [f"rank {card['rank']}"] if card["rank"] is not None else []
    if row.get("mean_difference") is None:
        parts.append("silent on the confirming families" if tested else "not tested yet")
    else:
        parts.append(f"difference {number(row['mean_difference'])}")
        if row.get("p_adjusted") is not None:
            parts.append(f"adjusted p {p_text(row['p_adjusted'])}")
    if card["edited_by"]:
        parts.append(f"edited by {', '.join(card['edited_by'])}")
    return "; ".join(parts)
