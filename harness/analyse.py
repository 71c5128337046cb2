"""Rows of a finished run as estimates and tests: features between variants, ablations against controls."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.interventions import Feature, Intervention, from_columns
from harness.pairs import Contrasted, Pair, behaviours, contrasted, pairs_of
from harness.plan import Plan, Side
from harness.records import (
    AblationTests,
    Activations,
    Answers,
    Columns,
    FeatureTests,
    Impacts,
    Interventions,
    Origin,
)
from harness.spec import Ablation
from harness.stats import MaxT, effects, fdr, hierarchical_fdr, mean_interval, paired_max_t, synergy
from harness.stats.controls import control_rank_p
from harness.stats.max_t import paired_statistic

C = TypeVar("C", bound=Columns)
Floats = NDArray[np.float64]


class Source(Protocol):
    """What analysis reads: the rows of a run."""

    def read(self, kind: type[C], run_id: str, **equal: object) -> C:
        """Columns of the rows that agree with `equal`."""
        ...


@dataclass(frozen=True)
class FeatureResult:
    """The confirming families' test of every feature active in them; None where there are too few."""

    features: tuple[Feature, ...]
    test: MaxT | None
    n_units: int


@dataclass(frozen=True)
class AblationResult:
    """Impacts of one ablation on the confirming families, in nats of the spec's metric.

    `target` is (prompts,), `controls` (sets, prompts), and `units` names each prompt's family.
    """

    ablation: Ablation
    target: Floats
    controls: Floats
    units: NDArray[np.str_]

    @property
    def beyond(self) -> Floats:
        """Target minus the mean of its controls, prompt by prompt."""
        return self.target - self.controls.mean(axis=0)

    def rank_p(self, direction: float) -> float:
        """The target's rank among its controls, in the direction +1 (toward correct) or -1."""
        return control_rank_p(
            direction * float(self.target.mean()), direction * self.controls.mean(axis=1)
        )


@dataclass(frozen=True)
class Analysis:
    """Everything that verdicts are drawn from."""

    plan: Plan
    pairs: tuple[Pair, ...]
    behaviour: Mapping[str, Mapping[str, float]]
    features: FeatureResult
    ablations: Mapping[str, AblationResult]
    rows: tuple[Columns, ...]


def analyse(source: Source, plan: Plan, run_id: str, origin: Origin) -> Analysis:
    """All tests of a run whose units are all in."""
    activations = source.read(Activations, run_id)
    discovery = contrasted(plan, "discovery", activations)
    confirmation = contrasted(plan, "confirmation", activations)
    contrast = plan.spec.contrast
    result = FeatureResult(confirmation.features, None, len(set(confirmation.units)))
    if result.n_units >= 2 and result.features:
        x, y = confirmation.of(contrast.of), confirmation.of(contrast.against)
        test = paired_max_t(x, y, confirmation.units, statistic=contrast.statistic)
        result = replace(result, test=test)
    ablations: dict[str, AblationResult] = {}
    rows: list[Columns] = [
        # Discovery chooses, it does not conclude: its rows have no p.
        _feature_tests(plan, "discovery", discovery, None, run_id, origin),
        _feature_tests(plan, "confirmation", confirmation, result.test, run_id, origin),
    ]
    for ablation in plan.spec.ablations:
        interventions = from_columns(source.read(Interventions, run_id, ablation=ablation.name))
        impacts = source.read(Impacts, run_id, metric=plan.spec.metric)
        ablations[ablation.name], columns = _ablation_tests(
            plan, ablation, interventions, impacts, run_id, origin
        )
        rows.append(columns)
    return Analysis(
        plan=plan,
        pairs=pairs_of(plan.of("confirmation")),
        behaviour=behaviours(source.read(Answers, run_id)),
        features=result,
        ablations=ablations,
        rows=tuple(rows),
    )


def _feature_tests(
    plan: Plan, side: Side, data: Contrasted, test: MaxT | None, run_id: str, origin: Origin
) -> FeatureTests:
    """One row a feature: what was seen, and its p values where it was tested."""
    contrast = plan.spec.contrast
    n_units = len(set(data.units))
    if n_units < 2 or not data.features:
        return FeatureTests.of([])
    x, y = data.of(contrast.of), data.of(contrast.against)
    n = len(data.features)
    untested = np.full(n, np.nan)
    layers = np.array([layer for layer, _ in data.features])
    by_layer = hierarchical_fdr(test.p_marginal, layers, q=contrast.alpha) if test else None
    size = effects(x, y, data.units)
    mean = mean_interval(x - y, data.units)
    return FeatureTests(
        run_id=[run_id] * n,
        split=[side] * n,
        layer=layers,
        feature=[feature for _, feature in data.features],
        n_pairs=[len(x)] * n,
        n_units=[n_units] * n,
        rate_correct=(data.correct > 0).mean(axis=0),
        rate_misconception=(data.misconception > 0).mean(axis=0),
        mean_difference=mean.mean,
        ci_low=mean.low,
        ci_high=mean.high,
        u=paired_statistic(x, y, data.units, statistic="mean"),
        statistic=paired_statistic(x, y, data.units, statistic=contrast.statistic),
        p_marginal=test.p_marginal if test else untested,
        p_adjusted=test.p_adjusted if test else untested,
        p_fdr=fdr(test.p_marginal) if test else untested,
        fdr_by_layer=by_layer.rejected if by_layer else [None] * n,
        d_z=size.d_z,
        d_z_low=size.d_z_low,
        d_z_high=size.d_z_high,
        g_av=size.g_av,
        rank_biserial=size.rank_biserial,
        common_language=size.common_language,
        flag=size.flag,
        origin=[origin] * n,
    )


def _ablation_tests(
    plan: Plan,
    ablation: Ablation,
    interventions: tuple[Intervention, ...],
    impacts: Impacts,
    run_id: str,
    origin: Origin,
) -> tuple[AblationResult, AblationTests]:
    measured = sorted(
        (prompt for prompt in plan.of("confirmation") if prompt.label == ablation.variant),
        key=lambda prompt: prompt.id,
    )
    own = {one.id for one in interventions}
    place = {prompt.id: i for i, prompt in enumerate(measured)}
    units = np.array([prompt.family for prompt in measured])
    impact: dict[str, Floats] = defaultdict(lambda: np.full(len(measured), np.nan))
    active: dict[str, Floats] = defaultdict(lambda: np.zeros(len(measured)))
    for one, prompt, value, fired in zip(
        impacts.intervention_id, impacts.prompt_id, impacts.impact, impacts.active, strict=True
    ):
        if one in own:
            impact[str(one)][place[str(prompt)]] = value
            active[str(one)][place[str(prompt)]] = fired
    by_role: dict[str, list[Intervention]] = defaultdict(list)
    for one in interventions:
        by_role[one.role].append(one)
    (target,) = by_role["target"]
    result = AblationResult(
        ablation=ablation,
        target=impact[target.id],
        controls=np.array([impact[one.id] for one in by_role["control"]]),
        units=units,
    )
    if len(set(units)) < 2:
        return result, AblationTests.of([])
    singles = by_role["single"]
    adjusted = (
        dict(
            zip(
                (one.id for one in singles),
                _flips(np.column_stack([impact[one.id] for one in singles]), units).p_adjusted,
                strict=True,
            )
        )
        if singles
        else {}
    )
    return result, AblationTests.of(
        {
            "run_id": run_id,
            "ablation": ablation.name,
            "intervention_id": one.id,
            "role": one.role,
            "metric": plan.spec.metric,
            "active_share": float(active[one.id].mean()),
            "p_adjusted": adjusted.get(one.id),
            "origin": origin,
            **_described(impact[one.id], units),
            **(_against_controls(result) if one.role == "target" else {}),
            **(_together(result, [impact[s.id] for s in singles]) if one.role == "target" else {}),
        }
        for one in interventions
    )


def _described(impact: Floats, units: NDArray[np.str_]) -> dict[str, object]:
    mean = mean_interval(impact, units)
    size = effects(impact, None, units)
    return {
        "n_pairs": len(impact),
        "n_units": mean.n_units,
        "mean_impact": float(mean.mean[0]),
        "ci_low": float(mean.low[0]),
        "ci_high": float(mean.high[0]),
        "p": float(_flips(impact[:, None], units).p_marginal[0]),
        "d_z": float(size.d_z[0]),
        "d_z_low": float(size.d_z_low[0]),
        "d_z_high": float(size.d_z_high[0]),
        "flag": str(size.flag[0]),
    }


def _against_controls(result: AblationResult) -> dict[str, object]:
    mean = mean_interval(result.beyond, result.units)
    toward = 1.0 if result.ablation.select.toward == "correct" else -1.0
    return {
        "n_controls": len(result.controls),
        "mean_control": float(result.controls.mean()),
        "beyond_controls": float(mean.mean[0]),
        "beyond_low": float(mean.low[0]),
        "beyond_high": float(mean.high[0]),
        "p_beyond": float(_flips(result.beyond[:, None], result.units).p_marginal[0]),
        "p_rank": result.rank_p(toward),
    }


def _together(result: AblationResult, singles: list[Floats]) -> dict[str, object]:
    if not singles:
        return {}
    found = synergy(result.target, np.array(singles), result.units)
    return {
        "synergy": found.mean,
        "synergy_low": found.low,
        "synergy_high": found.high,
        "p_synergy": found.p,
    }


def _flips(values: Floats, units: NDArray[np.str_]) -> MaxT:
    return paired_max_t(values, units=units, statistic="mean")
