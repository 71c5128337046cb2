"""What edits do to the answers: beside matched controls, by family, by dose, one by one."""

from dataclasses import dataclass

from harness.reports.html.ablation_charts import (
    controls_chart,
    doses_chart,
    families_chart,
    parts_chart,
)
from harness.reports.html.charts import Chart
from harness.reports.html.estimates import Figures
from harness.reports.html.impact_figures import ImpactFigure
from harness.reports.run_data import Row, query_rows, rows_with
from harness.specs.ablations import Ablation
from harness.specs.metrics import Metric, kind_of, metric_words
from harness.specs.spec import Spec
from harness.specs.variants import Variants
from harness.store.find_run import Run
from harness.store.frozen_sets import sets_of
from harness.store.interface import ReadStore
from harness.store.interventions import interventions_of
from harness.store.tables.interventions import Interventions


@dataclass(frozen=True)
class AblationSection:
    """One ablation: its target's test and the pictures of it. None where the spec asked for none."""

    name: str
    kind: str
    positions: str
    variant: str
    metric: str
    unit: str
    figures: list[ImpactFigure]
    features: list[tuple[int, int]]
    target: Row
    ceiling: str
    source: str
    noise: float | None
    balance: list[Row]
    singles: list[Row]
    side_effects: list[Row]
    decoys: list[Row]
    controls: Chart | None
    families: Chart | None
    doses: Chart | None
    parts: Chart | None


def ablations_of(store: ReadStore, run: Run, spec: Spec, figures: Figures) -> list[AblationSection]:
    """Those made on the run's target, in the order of the spec."""
    rows = rows_with(query_rows(store, "ablations", run=run["run_id"]), "mean_impact")
    families = rows_with(query_rows(store, "impact_by_family", run=run["run_id"]), "target")
    doses = rows_with(query_rows(store, "dose_response", run=run["run_id"]), "mean_impact")
    noise = {
        row["ablation"]: row["noise_floor"]
        for row in query_rows(store, "noise", run=run["run_id"])
        if row["metric"] == spec.metric
    }
    balance = query_rows(store, "balance", run=run["run_id"])
    beside = [
        row | {"metric": spec.variants.named(row["metric"])}
        for row in query_rows(store, "side_effects", run=run["run_id"])
        if row["metric"] in (spec.metric, "log_p_correct", "kl")
    ]
    decoys = query_rows(store, "decoys", run=run["run_id"])
    selected = interventions_of(store.read(Interventions, run["run_id"], role="target"))
    ceilings = {one.ablation: one.ceiling for one in selected}
    sources = {name: f"{one.words}, {one.how}" for name, one in sets_of(run).items()}
    sections = []
    for ablation in spec.ablations_on(run["target"]):
        tests, by_family, by_dose = (
            [row for row in group if row["ablation"] == ablation.name]
            for group in (rows, families, doses)
        )
        if target := next((row for row in tests if row["role"] == "target"), None):
            made_of = figures.of_ablation(ablation.name, spec.claims_on(run["target"]))
            sections.append(
                _section(
                    ablation,
                    spec.variants,
                    spec.metric,
                    target,
                    ceilings.get(ablation.name, ""),
                    sources.get(ablation.name, ""),
                    noise.get(ablation.name),
                    [row for row in balance if row["ablation"] == ablation.name],
                    [row for row in beside if row["ablation"] == ablation.name],
                    [row for row in decoys if row["ablation"] == ablation.name],
                    made_of,
                    tests,
                    by_family,
                    by_dose,
                )
            )
    return sections


def _section(
    ablation: Ablation,
    variants: Variants,
    metric: Metric,
    target: Row,
    ceiling: str,
    source: str,
    noise: float | None,
    balance: list[Row],
    beside: list[Row],
    decoys: list[Row],
    figures: list[ImpactFigure],
    rows: list[Row],
    families: list[Row],
    doses: list[Row],
) -> AblationSection:
    where, unit = ablation.positions, kind_of(metric).unit
    singles = [row for row in rows if row["role"] == "single"]
    return AblationSection(
        name=ablation.name,
        kind=ablation.kind + ("" if ablation.value is None else f" {ablation.value:g}"),
        positions=where if isinstance(where, str) else ", ".join(map(str, where)),
        variant=variants.name(ablation.variant),
        metric=metric_words(metric, variants),
        unit=unit,
        figures=figures,
        features=[_layer_and_number(name) for name in str(target["features"]).split()],
        target=target,
        ceiling=ceiling,
        source=source,
        noise=noise,
        balance=balance,
        singles=singles,
        side_effects=beside,
        decoys=decoys,
        controls=controls_chart(target, [row for row in rows if row["role"] == "control"], unit),
        families=families_chart(ablation.name, families, unit),
        doses=doses_chart(ablation.name, doses, unit),
        parts=parts_chart(target, singles, unit),
    )


def _layer_and_number(name: str) -> tuple[int, int]:
    layer, number = name.split(":")
    return int(layer), int(number)
