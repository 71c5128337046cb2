"""Impacts as estimates and tests: each intervention, the target against its controls, doses, sets."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from harness.analysis.ablation_impacts import AblationImpacts, ablation_impacts
from harness.analysis.ablation_rows import AblationRows
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature, Intervention
from harness.specs.metrics import attributed
from harness.specs.plan import Plan
from harness.specs.prompt import Origin
from harness.stats import MaxT, effects, mean_interval, paired_max_t, synergy
from harness.store.tables.results import AblationTests

Floats = NDArray[np.float64]


def ablation_tests(
    plan: Plan,
    ablation: Ablation,
    rows: AblationRows,
    run_id: str,
    origin: Origin,
    units: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Mapping[str, AblationImpacts], list[AblationTests]]:
    """The impacts by metric, and the tests of every intervention on every metric.

    `units` are those of registered metrics. There are no tests where fewer than two families confirm, or
    clusters of them that the spec asks for.
    """
    measured = ablation_impacts(plan, ablation, rows, units)
    rows = rows.measured()
    found = measured.impacts[plan.spec.metric]
    if found.units.n < 2:
        return measured.impacts, []
    predicted = _predict_impacts(rows, {*found.units.families}, len(found.target))
    tests = []
    for metric in sorted(measured.values):
        impacts = measured.impacts[metric]
        # What is predicted is positive toward the positive answer, whichever the metric is about.
        known = None
        if predicted is not None and metric == attributed(plan.spec.metric):
            known = impacts.kind.toward * predicted
        estimates = _test_rows(rows.interventions, measured.values[metric], impacts, known)
        common = {"run_id": run_id, "ablation": ablation.name, "metric": metric, "origin": origin}
        tests.append(
            AblationTests.of(
                {
                    **common,
                    "intervention_id": edit.id,
                    "role": edit.role,
                    "active_share": float(fired.mean()),
                    "noise": impacts.noise,
                    **estimate,
                }
                for edit, fired, estimate in zip(
                    rows.interventions, measured.active, estimates, strict=True
                )
            )
        )
    return measured.impacts, tests


def _test_rows(
    interventions: Sequence[Intervention],
    values: Floats,
    result: AblationImpacts,
    predicted: Floats | None,
) -> list[dict[str, object]]:
    """Estimates and tests of each intervention on one metric, from (n_interventions, n_prompts).

    What concerns a whole set, such as its controls and its synergy, stands with the target.
    """
    units = result.units.of
    mean, size = mean_interval(values.T, units), effects(values.T, None, units)
    p = _flip_test(values.T, units).p_marginal
    # Which of the features matter is asked of all of them at once: the p of these alone are adjusted.
    singles = [i for i, edit in enumerate(interventions) if edit.role == "single"]
    adjusted = np.full(len(values), np.nan)
    if singles:
        adjusted[singles] = _flip_test(values[singles].T, units).p_adjusted
    rows: list[dict[str, object]] = [
        {
            "n_pairs": values.shape[1],
            "n_units": mean.n_units,
            "mean_impact": mean.mean[i],
            "ci_low": mean.low[i],
            "ci_high": mean.high[i],
            "p": p[i],
            "p_adjusted": adjusted[i],
            "d_z": size.d_z[i],
            "d_z_low": size.d_z_low[i],
            "d_z_high": size.d_z_high[i],
            "flag": str(size.flag[i]),
        }
        for i in range(len(values))
    ]
    (target,) = (i for i, edit in enumerate(interventions) if edit.role == "target")
    rows[target] |= _against_controls(result)
    if singles:
        together = synergy(result.target, values[singles], units)
        rows[target] |= {
            "synergy": together.mean,
            "synergy_low": together.low,
            "synergy_high": together.high,
            "p_synergy": together.p,
        }
    if predicted is not None:
        for row, value in zip(rows, predicted, strict=True):
            row["predicted"] = value
        # Without the target, its doses and its no-op, which are the singles again.
        distinct = [i for i, edit in enumerate(interventions) if edit.role in ("single", "control")]
        rows[target]["rank_correlation"] = _spearman(predicted[distinct], mean.mean[distinct])
    return rows


def _against_controls(result: AblationImpacts) -> dict[str, object]:
    """The target beside its controls: what it does beyond them, with interval and both p values."""
    mean = mean_interval(result.beyond, result.units.of)
    return {
        "n_controls": len(result.controls),
        "mean_control": float(result.controls.mean()),
        "beyond_controls": float(mean.mean[0]),
        "beyond_low": float(mean.low[0]),
        "beyond_high": float(mean.high[0]),
        "p_beyond": float(_flip_test(result.beyond[:, None], result.units.of).p_marginal[0]),
        "p_rank": result.rank_p(result.expected),
    }


def _predict_impacts(rows: AblationRows, families: set[str], n_prompts: int) -> Floats | None:
    """The effect that attribution predicts, in nats a prompt, (n_interventions,).

    To first order a set does what its features do one by one, and scaling by s does 1 - s of what
    removing does. NaN where a kind of edit is not predicted, None where nothing is.
    """
    predictions = rows.predictions
    if not len(predictions):
        return None
    effect: dict[Feature, float] = defaultdict(float)
    for layer, feature, family, value in zip(
        predictions.layer,
        predictions.feature,
        predictions.family,
        predictions.predicted,
        strict=True,
    ):
        if family in families:
            effect[int(layer), int(feature)] += float(value) / n_prompts

    def predict(edit: Intervention) -> float:
        if edit.baseline:
            return np.nan
        share = {"zero": 1.0, "scale": 1.0 - (edit.values or (1.0,))[0]}.get(edit.kind, np.nan)
        return 0.0 if edit.role == "no-op" else share * sum(effect[f] for f in edit.features)

    return np.array([predict(edit) for edit in rows.interventions])


def _spearman(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation of two vectors; NaN where there is nothing to rank."""
    x, y = rankdata(a), rankdata(b)
    if np.isnan(a).any() or len(a) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _flip_test(values: Floats, units: NDArray[np.str_]) -> MaxT:
    """Sign flips of the mean of `values` (n_prompts, n), clustered by `units` (n_prompts,)."""
    return paired_max_t(values, units=units, statistic="mean")
