"""Made-up activity of features, at all positions and where an ablation edits, and rows without more."""

from collections.abc import Iterable, Mapping

from harness.analysis.ablation_rows import AblationRows
from harness.specs.intervention import Feature, Intervention
from harness.store.tables.interventions import ControlBalance, ImpactNoise, Impacts
from harness.store.tables.observations import Attributions, EditActivity, FeatureActivity

Rates = Mapping[Feature, tuple[float, float]]  # firing rate and mean activation


def activity_of(rates: Rates, norm: float = 1.0) -> FeatureActivity:
    """At all positions of the prompts."""
    return FeatureActivity.of(
        {"run_id": "r", "layer": layer, "feature": feature, "firing_rate": rate,
         "mean_activation": mean, "decoder_norm": norm, "origin": "mock"}
        for (layer, feature), (rate, mean) in rates.items()
    )  # fmt: skip


def edited_of(
    rates: Rates, values: Mapping[Feature, float] | None = None, norm: float = 1.0
) -> EditActivity:
    """Where the ablation `top` edits; `values` are the means over both variants."""
    return EditActivity.of(
        {"run_id": "r", "ablation": "top", "layer": layer, "feature": feature, "firing_rate": rate,
         "mean_activation": mean, "mean_value": (values or {}).get((layer, feature)),
         "decoder_norm": norm, "origin": "mock"}
        for (layer, feature), (rate, mean) in rates.items()
    )  # fmt: skip


def rows_of(
    interventions: Iterable[Intervention],
    impacts: Impacts,
    predictions: Attributions | None = None,
    noise: ImpactNoise | None = None,
    edited: EditActivity | None = None,
) -> AblationRows:
    """What a run would have stored of an ablation; without `edited` as one of before it was kept."""
    return AblationRows(
        tuple(interventions),
        impacts,
        Attributions.of([]) if predictions is None else predictions,
        ImpactNoise.of([]) if noise is None else noise,
        FeatureActivity.of([]),
        EditActivity.of([]) if edited is None else edited,
        ControlBalance.of([]),
    )
