"""A whole run analysed: every feature tested between the variants, every ablation against its controls."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_rows import AblationRows
from harness.analysis.ablation_tests import ablation_tests
from harness.analysis.baseline_tests import baseline_tests
from harness.analysis.crossfits import Crossfit, SplitSet, crossfit_rows, crossfits_of
from harness.analysis.decoy_verdicts import SetContrast
from harness.analysis.moderator_rows import moderator_rows
from harness.analysis.pairs import PairedActivations, behaviours, feature_means, read_pairs
from harness.analysis.selection_stability import stability_rows
from harness.analysis.source_impacts import SourceImpacts
from harness.analysis.token_injection import TokenInjection, injection_tests
from harness.analysis.units import Units, units_of
from harness.specs.claims import FeatureClaim
from harness.specs.edit_claims import TransfersClaim
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import Origin, Pair, pairs_of
from harness.specs.split import Side
from harness.stats import (
    MaxT,
    SimultaneousEquivalence,
    effects,
    fdr,
    hierarchical_fdr,
    mean_interval,
    paired_max_t,
    simultaneous_equivalence,
)
from harness.stats.max_t import paired_statistic
from harness.stats.own_metrics import own_metrics
from harness.store.frozen_sets import FrozenSets, sets_of
from harness.store.interface import ReadStore
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import Decoys, SideEffects
from harness.store.tables.observations import Answers, Baselines
from harness.store.tables.results import FeatureTests, SelectionOverlap, SelectionStability
from harness.store.tables.runs import Runs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureResult:
    """The confirming families' test of every feature active in them, in the order of `features`.

    `test` is None where there are fewer than two `units`, or no such feature. `within` has the
    equivalence of all of them for each margin that is claimed.
    """

    features: tuple[Feature, ...]
    test: MaxT | None
    units: Units
    within: Mapping[float, SimultaneousEquivalence] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """Everything that verdicts are drawn from, and the `rows` of it to be stored.

    `pairs` are the confirming ones, `behaviour` has each prompt's metrics, `features` the tests by what their
    units are (a tag, or family), `ablations` the impacts on the spec's metric by name, `by_metric` the same
    on every metric, and `side_effects` what each did to prompts that it is not meant for. `baseline` is the
    behaviour after prompts without their scenes, where a claim asks for it, and `decoys` how each ablation's
    features answer irrelevant contrasts, and the trait; `tokens` what they are in neutral texts with their
    strongest tokens. `stable` is how often halves and bootstraps of the discovering families select them, and
    `chosen` which they are. `units` are those of registered metrics, `sets` the features that other evals
    froze, of which `sources` has what these did there, where a claim asks for it, and `crossfits` what became
    of claims about several splits, by name.
    """

    plan: Plan
    pairs: tuple[Pair, ...]
    behaviour: Mapping[str, Mapping[str, float]]
    features: Mapping[str, FeatureResult]
    ablations: Mapping[str, AblationImpacts]
    rows: tuple[Columns, ...]
    side_effects: Mapping[str, SideEffects] = field(default_factory=dict)
    baseline: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    decoys: Mapping[str, tuple[Decoys, SetContrast]] = field(default_factory=dict)
    stable: Mapping[str, tuple[SelectionStability, SelectionOverlap]] = field(default_factory=dict)
    chosen: Mapping[str, tuple[Feature, ...]] = field(default_factory=dict)
    tokens: Mapping[str, TokenInjection] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    by_metric: Mapping[str, Mapping[str, AblationImpacts]] = field(default_factory=dict)
    crossfits: Mapping[str, Crossfit] = field(default_factory=dict)
    sets: FrozenSets = field(default_factory=dict)
    sources: Mapping[str, SourceImpacts] = field(default_factory=dict)


def analyse(source: ReadStore, plan: Plan, run_id: str, origin: Origin) -> Analysis:
    """All tests of a run whose units are all in. It reads the store and writes nothing."""
    registered = own_metrics(plan.spec.metrics)
    run = next(source.read(Runs, run_id).rows(), {})
    discovery = read_pairs(source, plan, "discovery", run_id)
    confirmation = read_pairs(source, plan, "confirmation", run_id)
    features = _feature_results(plan, confirmation)
    own = features[plan.spec.cluster]
    units = {name: metric.unit for name, metric in registered.items()}
    by_metric: dict[str, Mapping[str, AblationImpacts]] = {}
    decoys: dict[str, tuple[Decoys, SetContrast]] = {}
    stable: dict[str, tuple[SelectionStability, SelectionOverlap]] = {}
    selected: dict[str, tuple[Feature, ...]] = {}
    tokens: dict[str, TokenInjection] = {}
    rows: list[Columns] = [
        # Discovery chooses, it does not conclude: its rows have no p.
        _feature_tests(plan, "discovery", discovery, None, run_id, origin),
        _feature_tests(plan, "confirmation", confirmation, own.test, run_id, origin),
    ]
    for ablation in plan.ablations:
        name = ablation.name
        measured = AblationRows.read(source, run_id, name)
        by_metric[name], tables = ablation_tests(plan, ablation, measured, run_id, origin, units)
        rows += [*tables, *baseline_tests(by_metric[name], run_id, origin)]
        rows += [moderator_rows(plan, ablation, measured, run_id, origin)]
        (chosen,) = (one.features for one in measured.interventions if one.role == "target")
        selected[name] = chosen
        stable[name] = stability_rows(plan, ablation, chosen, discovery, measured, run_id, origin)
        rows += stable[name]
        if plan.decoys_of(name):
            answers = SetContrast.of(chosen, discovery, confirmation, measured.activity)
            decoys[name] = source.read(Decoys, run_id, ablation=name), answers
        if ablation.tokens:
            tokens[name] = TokenInjection.read(source, plan, ablation, run_id, chosen)
            rows.append(injection_tests(tokens[name], ablation, run_id, origin))
    here = {name: SplitSet(plan, selected[name], some) for name, some in by_metric.items()}
    crossfits = crossfits_of(source, run_id, here, units)
    rows += [crossfit_rows(one, run_id, origin) for one in crossfits.values()]
    return Analysis(
        plan=plan,
        pairs=pairs_of(plan.of("confirmation")),
        behaviour=behaviours(source.read(Answers, run_id), registered),
        baseline=behaviours(source.read(Baselines, run_id), registered),
        features=features,
        ablations={name: some[plan.spec.metric] for name, some in by_metric.items()},
        by_metric=by_metric,
        sets=sets_of(run),
        sources=_sources(source, plan, run),
        side_effects={one: source.read(SideEffects, run_id, ablation=one) for one in by_metric},
        decoys=decoys,
        stable=stable,
        chosen=selected,
        tokens=tokens,
        rows=tuple(rows),
        units=units,
        crossfits=crossfits,
    )


def _sources(source: ReadStore, plan: Plan, run: Mapping[str, Any]) -> dict[str, SourceImpacts]:
    """What sets did where other evals froze them, by ablation, of those that a claim holds against that."""
    claims = plan.spec.claims_on(plan.target.name)
    asked = {claim.edit for claim in claims if isinstance(claim, TransfersClaim)}
    return {
        name: SourceImpacts.read(source, one, plan.ablation(name), run)
        for name, one in sets_of(run).items()
        if name in asked
    }


def _feature_results(plan: Plan, data: PairedActivations) -> dict[str, FeatureResult]:
    """The confirming families' tests, by what their units are."""
    return {
        tag: _feature_result(
            plan, replace(data, units=units_of(plan, data.units.families, tag)), margins
        )
        for tag, margins in _margins(plan).items()
    }


def _margins(plan: Plan) -> dict[str, set[float]]:
    """Those within which the features are claimed to lie, by the units of the claims and the spec."""
    found: dict[str, set[float]] = {plan.spec.cluster: set()}
    for claim in plan.spec.claims_on(plan.target.name):
        if isinstance(claim, FeatureClaim):
            margins = found.setdefault(plan.spec.cluster_of(claim), set())
            margins |= set() if claim.margin is None else {claim.margin}
    return found


def _feature_result(plan: Plan, data: PairedActivations, margins: set[float]) -> FeatureResult:
    contrast = plan.spec.contrast
    result = FeatureResult(data.features, None, data.units)
    if data.units.n < 2 or not data.features:
        return result
    x, y, units = data.of(contrast.positive), data.of(contrast.negative), data.units.of
    test = paired_max_t(x, y, units, statistic=contrast.statistic)
    within = {margin: simultaneous_equivalence(x, y, units, margin=margin) for margin in margins}
    return replace(result, test=test, within=within)


def _feature_tests(
    plan: Plan, side: Side, data: PairedActivations, test: MaxT | None, run_id: str, origin: Origin
) -> FeatureTests:
    """One row a feature: what was seen, and its p values where it was tested."""
    contrast = plan.spec.contrast
    n_units, units = data.units.n, data.units.of
    if n_units < 2 or not data.features:
        return FeatureTests.of([])
    x, y = data.of(contrast.positive), data.of(contrast.negative)
    n = len(data.features)
    untested = np.full(n, np.nan)
    layers = np.array([layer for layer, _ in data.features])
    by_layer = hierarchical_fdr(test.p_marginal, layers, q=contrast.alpha) if test else None
    size = effects(x, y, units)
    mean = mean_interval(x - y, units)
    return FeatureTests(
        run_id=[run_id] * n,
        split=[side] * n,
        layer=layers,
        feature=[feature for _, feature in data.features],
        n_pairs=[x.shape[0]] * n,
        n_units=[n_units] * n,
        rate_correct=feature_means(data.correct > 0),
        rate_misconception=feature_means(data.misconception > 0),
        mean_difference=mean.mean,
        ci_low=mean.low,
        ci_high=mean.high,
        u=paired_statistic(x, y, units, statistic="mean"),
        statistic=paired_statistic(x, y, units, statistic=contrast.statistic),
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
