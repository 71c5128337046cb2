"""Rows of what was concluded: tests, verdicts, and what others say of features."""

from dataclasses import dataclass
from typing import ClassVar

from harness.store.tables.columns import Column, Columns


@dataclass(frozen=True)
class FeatureTests(Columns):
    """A row is the paired test of a feature on one side of the split."""

    table: ClassVar[str] = "feature_tests"
    run_id: Column
    split: Column
    layer: Column
    feature: Column
    n_pairs: Column
    n_units: Column
    rate_correct: Column
    rate_misconception: Column
    mean_difference: Column
    ci_low: Column
    ci_high: Column
    u: Column
    statistic: Column
    p_marginal: Column
    p_adjusted: Column
    p_fdr: Column
    fdr_by_layer: Column
    d_z: Column
    d_z_low: Column
    d_z_high: Column
    g_av: Column
    rank_biserial: Column
    common_language: Column
    flag: Column
    origin: Column


@dataclass(frozen=True)
class AblationTests(Columns):
    """A row is the test of an intervention on one metric, over all prompts."""

    table: ClassVar[str] = "ablation_tests"
    run_id: Column
    ablation: Column
    intervention_id: Column
    role: Column
    metric: Column
    n_pairs: Column
    n_units: Column
    mean_impact: Column
    ci_low: Column
    ci_high: Column
    p: Column
    p_adjusted: Column
    d_z: Column
    d_z_low: Column
    d_z_high: Column
    active_share: Column
    n_controls: Column
    mean_control: Column
    beyond_controls: Column
    beyond_low: Column
    beyond_high: Column
    p_beyond: Column
    p_rank: Column
    synergy: Column
    synergy_low: Column
    synergy_high: Column
    p_synergy: Column
    predicted: Column
    rank_correlation: Column
    flag: Column
    origin: Column
    noise: Column


@dataclass(frozen=True)
class BaselineTests(Columns):
    """A row is how much more an ablation's target does to one metric than one of its baselines."""

    table: ClassVar[str] = "baseline_tests"
    run_id: Column
    ablation: Column
    baseline: Column
    metric: Column
    n_pairs: Column
    n_units: Column
    target_impact: Column
    baseline_impact: Column
    difference: Column
    ci_low: Column
    ci_high: Column
    p: Column
    origin: Column


@dataclass(frozen=True)
class SelectionStability(Columns):
    """A row is how often resamples of the discovering units select a feature for an ablation."""

    table: ClassVar[str] = "selection_stability"
    run_id: Column
    ablation: Column
    layer: Column
    feature: Column
    share: Column
    half_share: Column
    selected: Column
    rank_low: Column
    rank_high: Column
    origin: Column


@dataclass(frozen=True)
class SelectionOverlap(Columns):
    """A row is how far the sets that an ablation selects on resamples are the same."""

    table: ClassVar[str] = "selection_overlap"
    run_id: Column
    ablation: Column
    unit: Column
    n_units: Column
    bootstraps: Column
    jaccard: Column
    halvings: Column
    halves: Column
    candidates: Column
    origin: Column


@dataclass(frozen=True)
class InjectionTests(Columns):
    """A row is what the strongest tokens do to a feature in neutral texts; without a feature, to the set."""

    table: ClassVar[str] = "injection_tests"
    run_id: Column
    ablation: Column
    placement: Column
    layer: Column
    feature: Column
    base: Column
    injected: Column
    own: Column
    share: Column
    ci_low: Column
    ci_high: Column
    cohens_d: Column
    p: Column
    driven: Column
    n_texts: Column
    n_units: Column
    origin: Column
    gram: Column


@dataclass(frozen=True)
class CrossfitSplits(Columns):
    """A row is what one split of the families says of a claim of several."""

    table: ClassVar[str] = "crossfit_splits"
    run_id: Column
    claim: Column
    ablation: Column
    split: Column
    seed: Column
    n_features: Column
    n_shared: Column
    n_pairs: Column
    n_units: Column
    estimate: Column
    ci_low: Column
    ci_high: Column
    unit: Column
    p: Column
    verdict: Column
    because: Column
    origin: Column


@dataclass(frozen=True)
class Moderators(Columns):
    """A row is how far an ablation's impact at a level of a term is from that at the first level."""

    table: ClassVar[str] = "moderators"
    run_id: Column
    ablation: Column
    term: Column
    level: Column
    estimate: Column
    ci_low: Column
    ci_high: Column
    p: Column
    method: Column
    n_rows: Column
    n_families: Column
    note: Column
    origin: Column


@dataclass(frozen=True)
class Verdicts(Columns):
    """A row is what became of a claim."""

    table: ClassVar[str] = "verdicts"
    run_id: Column
    claim: Column
    kind: Column
    verdict: Column
    estimate: Column
    ci_low: Column
    ci_high: Column
    unit: Column
    p: Column
    alpha: Column
    n_units: Column
    n_pairs: Column
    floor: Column
    because: Column
    query: Column
    exploratory: Column
    origin: Column
    p_holm: Column
    n_toward: Column
    share_low: Column
    share_high: Column


@dataclass(frozen=True)
class FeatureLabels(Columns):
    """A row is what Neuronpedia says that a feature means; it belongs to no run."""

    table: ClassVar[str] = "feature_labels"
    source: Column
    feature: Column
    label: Column
    explainer: Column
    fetched_at: Column
