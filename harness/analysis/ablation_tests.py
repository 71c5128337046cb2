"""Impacts as estimates and tests: each intervention, the target against its controls, doses, sets."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature, Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import Origin
from harness.stats.effects import effects
from harness.stats.intervals import mean_interval
from harness.stats.matched_controls import control_rank_p
from harness.stats.max_t import MaxT, paired_max_t
from harness.stats.synergy import synergy
from harness.store.tables.interventions import Impacts
from harness.store.tables.observations import Attributions
from harness.store.tables.results import AblationTests

Floats = NDArray[np.float64]
# The sign in which a metric grows when answers move toward correct; KL and flips only grow.
TOWARD_CORRECT = {"log_p_misconception": -1.0}
EITHER_WAY = ("kl", "top1_flips")


@dataclass(frozen=True)
class AblationResult:
    """Impacts of one ablation on one metric of the confirming families, in the metric's unit.

    `target` is (prompts,), `controls` (sets, prompts), and `units` names each prompt's family.
    """

    ablation: Ablation
    target: Floats
    controls: Floats
    units: NDArray[np.str_]
    metric: str = "logit_difference"

    @property
    def beyond(self) -> Floats:
        """Target minus the mean of its controls, prompt by prompt."""
        return self.target - self.controls.mean(axis=0)

    def rank_p(self, direction: float) -> float:
        """The target's rank among its controls, in the direction +1 (toward correct) or -1."""
        return control_rank_p(
            direction * float(self.target.mean()), direction * self.controls.mean(axis=1)
        )

    @property
    def expected(self) -> float:
        """The direction that the selection expects of this metric."""
        if self.metric in EITHER_WAY:
            return 1.0
        toward = 1.0 if self.ablation.select.toward == "correct" else -1.0
        return toward * TOWARD_CORRECT.get(self.metric, 1.0)


def ablation_tests(
    plan: Plan,
    ablation: Ablation,
    interventions: tuple[Intervention, ...],
    impacts: Impacts,
    predictions: Attributions,
    run_id: str,
    origin: Origin,
) -> tuple[AblationResult, list[AblationTests]]:
    """The result on the spec's metric, and the tests of every intervention on every metric."""
    prompts = sorted(
        (prompt for prompt in plan.of("confirmation") if prompt.label == ablation.variant),
        key=lambda prompt: prompt.id,
    )
    units = np.array([prompt.family for prompt in prompts])
    column = {prompt.id: i for i, prompt in enumerate(prompts)}
    line = {one.id: i for i, one in enumerate(interventions)}
    size = (len(interventions), len(prompts))
    found: dict[str, Floats] = defaultdict(lambda: np.full(size, np.nan))
    active = np.zeros(size)
    for one, prompt, metric, value, fired in zip(
        impacts.intervention_id,
        impacts.prompt_id,
        impacts.metric,
        impacts.impact,
        impacts.active,
        strict=True,
    ):
        if one in line:
            found[metric][line[one], column[prompt]] = value
            active[line[one], column[prompt]] = fired

    def result(metric: str) -> AblationResult:
        values = found[metric]
        role = np.array([one.role for one in interventions])
        return AblationResult(
            ablation, values[role == "target"][0], values[role == "control"], units, metric
        )

    own = result(plan.spec.metric)
    if len(set(units)) < 2:
        return own, []
    predicted = _predicted(interventions, predictions, set(units), len(prompts))
    return own, [
        AblationTests.of(
            {
                "run_id": run_id,
                "ablation": ablation.name,
                "intervention_id": one.id,
                "role": one.role,
                "metric": metric,
                "active_share": float(active[i].mean()),
                "origin": origin,
            }
            | row
            for i, (one, row) in enumerate(
                zip(
                    interventions,
                    _rows(interventions, found[metric], result(metric), predicted),
                    strict=True,
                )
            )
        )
        for metric in sorted(found)
    ]


def _rows(
    interventions: Sequence[Intervention],
    values: Floats,
    result: AblationResult,
    predicted: Floats | None,
) -> list[dict[str, object]]:
    """What was found about each intervention on one metric."""
    units = result.units
    mean, size = mean_interval(values.T, units), effects(values.T, None, units)
    p = _flips(values.T, units).p_marginal
    singles = [i for i, one in enumerate(interventions) if one.role == "single"]
    adjusted = np.full(len(values), np.nan)
    if singles:
        adjusted[singles] = _flips(values[singles].T, units).p_adjusted
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
    (target,) = (i for i, one in enumerate(interventions) if one.role == "target")
    rows[target] |= _against_controls(result)
    if singles:
        together = synergy(result.target, values[singles], units)
        rows[target] |= {
            "synergy": together.mean,
            "synergy_low": together.low,
            "synergy_high": together.high,
            "p_synergy": together.p,
        }
    if predicted is not None and result.metric == "logit_difference":
        for row, value in zip(rows, predicted, strict=True):
            row["predicted"] = value
        apart = [i for i, one in enumerate(interventions) if one.role in ("single", "control")]
        rows[target]["rank_correlation"] = _spearman(predicted[apart], mean.mean[apart])
    return rows


def _against_controls(result: AblationResult) -> dict[str, object]:
    mean = mean_interval(result.beyond, result.units)
    return {
        "n_controls": len(result.controls),
        "mean_control": float(result.controls.mean()),
        "beyond_controls": float(mean.mean[0]),
        "beyond_low": float(mean.low[0]),
        "beyond_high": float(mean.high[0]),
        "p_beyond": float(_flips(result.beyond[:, None], result.units).p_marginal[0]),
        "p_rank": result.rank_p(result.expected),
    }


def _predicted(
    interventions: Sequence[Intervention],
    predictions: Attributions,
    families: set[str],
    prompts: int,
) -> Floats | None:
    """The effect that attribution predicts for each intervention, in nats a prompt.

    To first order a set does what its features do one by one, and scaling by s does 1 - s of what
    removing does. NaN where a kind of edit is not predicted, None where nothing is.
    """
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
            effect[int(layer), int(feature)] += float(value) / prompts

    def of(one: Intervention) -> float:
        share = {"zero": 1.0, "scale": 1.0 - (one.values or (1.0,))[0]}.get(one.kind, np.nan)
        return 0.0 if one.role == "no-op" else share * sum(effect[f] for f in one.features)

    return np.array([of(one) for one in interventions])


def _spearman(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation; NaN where there is nothing to rank."""
    x, y = rankdata(a), rankdata(b)
    if np.isnan(a).any() or len(a) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _flips(values: Floats, units: NDArray[np.str_]) -> MaxT:
    return paired_max_t(values, units=units, statistic="mean")
