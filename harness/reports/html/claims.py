"""The verdicts of a run, claim by claim."""

from dataclasses import dataclass, replace

from harness.analysis.cautions import cautions_of
from harness.analysis.mean_verdicts import bound_of
from harness.analysis.verdict import Caution
from harness.reports.html import charts
from harness.reports.html.charts import HIT, INK, Chart
from harness.reports.html.estimates import Derivation, Figures
from harness.reports.run_data import Row, table_rows
from harness.reports.text import p_text
from harness.specs.claims import Claim, FeatureClaim, in_words, is_equivalence
from harness.specs.spec import Spec
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.results import Verdicts


@dataclass(frozen=True)
class ClaimCard:
    """A claim, what became of it, and the estimate beside what it was held against.

    `cautions` name the features that it rests on in layers whose SAE has a warning.
    """

    name: str
    words: str
    verdict: str
    estimate: str
    interval: str
    p: str
    alpha: float
    level: str
    because: str
    query: str
    made_of: Derivation | None
    chart: Chart | None
    cautions: tuple[Caution, ...]


def claims_of(store: ReadStore, run: Run, spec: Spec, figures: Figures) -> list[ClaimCard]:
    """Every claim made on the run's target, in the order of the spec; none before it is analysed."""
    verdicts = {row["claim"]: row for row in table_rows(store, Verdicts, run["run_id"])}
    cautions = cautions_of(store, run["run_id"], run["target"])
    return [
        _claim_card(claim, spec, verdicts[claim.name], figures, cautions.get(claim.name, ()))
        for claim in spec.claims_on(run["target"])
        if claim.name in verdicts
    ]


def _claim_card(
    claim: Claim, spec: Spec, row: Row, figures: Figures, cautions: tuple[Caution, ...]
) -> ClaimCard:
    count = row["unit"] == "features"
    margin = is_equivalence(claim)
    estimate = row["estimate"]
    made_of = None if estimate is None else figures.derive(claim)
    if made_of and made_of.features and len(made_of.features) != estimate:
        made_of = replace(made_of, features=())  # what is known here is not what the run knew
    return ClaimCard(
        name=claim.name,
        words=in_words(claim, spec.cluster, spec.variants, spec.metric),
        verdict=row["verdict"],
        estimate="-"
        if estimate is None
        else f"{estimate:.0f}"
        if count
        else f"{estimate:+.3f} {row['unit']}",
        interval="-"
        if row["ci_low"] is None or row["ci_high"] is None
        else f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}",
        p="-" if row["p"] is None else p_text(row["p"]),
        alpha=row["alpha"],
        level=f"{1 - row['alpha'] * (2 if margin else 1):.0%} interval",
        because=row["because"],
        query=row["query"],
        made_of=made_of,
        chart=None
        if isinstance(claim, FeatureClaim)
        else _interval_chart(claim, row, spec.metric_of(claim)),
        cautions=cautions,
    )


def _interval_chart(claim: Claim, row: Row, metric: str) -> Chart | None:
    """The interval beside the value, or the margin, that it was held against."""
    if None in (row["estimate"], row["ci_low"], row["ci_high"]):
        return None
    assert not isinstance(claim, FeatureClaim)
    bound = bound_of(claim, metric)
    ends = [bound.than, row["ci_low"], row["ci_high"]]
    layers = []
    if bound.margin is not None:
        low, high = bound.margin
        ends += [low, high]
        layers.append(
            {
                "data": {"values": [{"from": low, "to": high}]},
                "mark": {"type": "rect", "color": "var(--band)"},
                "encoding": {"x": charts.quantity("from"), "x2": {"field": "to"}},
            }
        )
    room = (max(ends) - min(ends)) * 0.08 or 1.0
    estimate = charts.quantity(
        "estimate",
        scale={"domain": [min(ends) - room, max(ends) + room], "nice": False},
        axis={"tickCount": 5, "grid": False},
    )
    layers += [
        charts.line_at(bound.than, colour=INK, strokeDash=[3, 3]),
        {
            "mark": {"type": "rule", "strokeWidth": 3, "color": HIT},
            "encoding": {"x": charts.quantity("ci_low"), "x2": {"field": "ci_high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "color": HIT, "opacity": 1},
            "encoding": {"x": estimate},
        },
    ]
    unit = row["unit"]
    held = f"the margin of {bound.within:g} {unit}" if bound.within else f"{bound.than:g} {unit}"
    return charts.chart(
        f"{claim.name}: estimate {row['estimate']:+.3f}, interval {row['ci_low']:+.3f} to "
        f"{row['ci_high']:+.3f} {unit}, beside {held}",
        [{key: row[key] for key in ("estimate", "ci_low", "ci_high")}],
        layers,
        width=210,
        height=16,
    )
