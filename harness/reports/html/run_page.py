"""Pages put together: facts in, one HTML text out that needs nothing else."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.reports.html.ablations import Ablated, ablations_of
from harness.reports.html.behaviour import behaviour_of
from harness.reports.html.caveats import stamps_of, told
from harness.reports.html.charts import Chart
from harness.reports.html.claims import claims_of
from harness.reports.html.design import design_of
from harness.reports.html.features import Feature, features_of
from harness.reports.html.layout import environment, frame, number
from harness.reports.html.run_data import Run, asked, rows_of
from harness.reports.html.svg import Pencil
from harness.reports.html.volcano import layers_of
from harness.reports.text import db_option, p_text, told_value
from harness.specs.prompt import LIMITED
from harness.specs.spec import Spec
from harness.store.interface import ReadStore
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
    spec = Spec.model_validate_json(run["analysed_spec"] or run["spec"], strict=False)
    placebo = _placebo(store, run)
    pencil = Pencil()
    features = [pictured(one, pencil, chart="drawn") for one in features_of(store, run)]
    shown = {(one["layer"], one["feature"]) for one in features}
    layers = layers_of(store, run, placebo, shown)
    health = rows_of(store, SaeHealth, run["run_id"])
    return (
        environment()
        .get_template("run.html")
        .render(
            **frame(f"{run['spec_name']} on {run['target']}", stamps_of(run), PARTS, db),
            run=run,
            summary=_summary(run),
            told=lambda verdict: told(verdict, run),
            sql=_Sql(db),
            claims=[pictured(one, pencil, chart="drawn") for one in claims_of(store, run, spec)],
            warnings=[
                f"the SAE of layer {r['layer']}: {r['warning']}" for r in health if r["warning"]
            ],
            behaviour=(found := behaviour_of(store, run))
            and pictured(found, pencil, chart="drawn"),
            contrast=f"of {spec.contrast.of} minus {spec.contrast.against}",
            placebo=placebo,
            calibration=asked(store, "placebo_calibration", run=placebo["run_id"])
            if placebo
            else [],
            layers=[
                pictured(one, pencil, chart="drawn", placebo="placebo_drawn") for one in layers
            ],
            features=features,
            headline=lambda one: _headline(one, tested=bool(layers)),
            labelled=any(one["label"] for one in features),
            traced=len(store.read(PromptTokens, run["run_id"])) > 0,
            ablations=[_ablation(one, pencil) for one in ablations_of(store, run, spec)],
            health=health,
            design=design_of(store, run, spec, sum(one.tested for one in layers)),
            provenance=[
                (key.replace("_", " "), told_value(key, value))
                for key, value in run.items()
                if key not in SILENT
            ],
            rerun=f"harness rerun {run['run_id']}{db_option(db)}",
            again=f"harness run {_asked_again(run, spec)}{db_option(db)}",
            spec_text=json.dumps(json.loads(run["analysed_spec"] or run["spec"]), indent=2),
        )
    )


def pictured(found: Any, pencil: Pencil, **charts: str) -> dict[str, Any]:
    """A record's fields, with each of its charts drawn under another name."""
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    values |= {
        name: pencil.draw(chart) if isinstance(chart := values[of], Chart) else None
        for of, name in charts.items()
    }
    return values | ({"anchor": found.anchor} if isinstance(found, Feature) else {})


def _ablation(one: Ablated, pencil: Pencil) -> dict[str, Any]:
    names = ("controls", "families", "doses", "parts")
    said = f"{one.controls.says}." if one.controls else "It has no controls."
    return pictured(one, pencil, **{name: f"{name}_drawn" for name in names}) | {
        "controls_said": said
    }


def _placebo(store: ReadStore, run: Run) -> Run | None:
    """The last finished run of the eval `placebo` on the same target and SAEs, best at the same readout."""
    if run["spec_name"] == "placebo":
        return None
    runs = store.read(Runs).rows()
    found = [
        other
        for other in runs
        if other["spec_name"] == "placebo"
        and other["status"] == "finished"
        and all(other[name] == run[name] for name in ("target", "origin", "model", "sae"))
    ]
    return max(
        found,
        key=lambda other: (
            other["readout"] == run["readout"],
            other["finished_at"],
            other["run_id"],
        ),
        default=None,
    )


def _summary(run: Run) -> str:
    layers = ", ".join(map(str, run["layers"])) or "none"
    return (
        f"Run {run['run_id']}, {run['created_at']:%d %B %Y}: {run['model']} in {run['dtype']} on "
        f"{run['device']}, layers {layers}, features read at {run['readout']}."
    )


class _Sql:
    """The command that shows a query's rows."""

    def __init__(self, db: Path) -> None:
        self._db = db_option(db)

    def __call__(self, query: str, saved: bool = False) -> str:
        return f"harness sql {query if saved else shlex.quote(query)}{self._db}"


def _asked_again(run: Run, spec: Spec) -> str:
    """What `harness run` is told to do the same again, on whatever device there is."""
    words = [run["spec_path"], "--target", run["target"], "--dtype", run["dtype"]]
    if run["attention"] != "eager":
        words += ["--attn", run["attention"]]
    chosen = spec.targets.get(run["target"])
    if run["origin"] == "mock" and not str((chosen and chosen.sae) or run["target"]).startswith(
        "mock"
    ):
        words.append("--mock")
    if limit := re.match(rf"{LIMITED}(\d+)", str(run["exploratory"] or "")):
        words += ["--limit", limit[1]]
    return shlex.join(words)


def _headline(one: Mapping[str, Any], tested: bool) -> str:
    """A feature in one line."""
    row = one["row"]
    parts = [f"rank {one['rank']}"] if one["rank"] is not None else []
    if row.get("mean_difference") is None:
        parts.append("silent on the confirming families" if tested else "not tested yet")
    else:
        parts.append(f"difference {number(row['mean_difference'])}")
        if row.get("p_adjusted") is not None:
            parts.append(f"adjusted p {p_text(row['p_adjusted'])}")
    if one["edited_by"]:
        parts.append(f"edited by {', '.join(one['edited_by'])}")
    return "; ".join(parts)
