"""Rows of what was edited, and of what that did to the answers."""

from dataclasses import dataclass
from typing import ClassVar

from harness.store.tables.columns import Column, Columns


@dataclass(frozen=True)
class Interventions(Columns):
    """A row is one feature of one intervention."""

    table: ClassVar[str] = "interventions"
    run_id: Column
    intervention_id: Column
    ablation: Column
    role: Column
    number: Column
    kind: Column
    source: Column
    positions: Column
    variant: Column
    layer: Column
    feature: Column
    value: Column
    rank: Column
    score: Column
    origin: Column
    tied: Column
    baseline: Column


@dataclass(frozen=True)
class BaselineDirections(Columns):
    """A row is how far a baseline's direction at a layer goes along one dimension of what is edited."""

    table: ClassVar[str] = "baseline_directions"
    run_id: Column
    ablation: Column
    baseline: Column
    layer: Column
    dimension: Column
    value: Column
    origin: Column


@dataclass(frozen=True)
class RandomFeatures(Columns):
    """A row is one feature of a random dictionary that the same selection found, and what it is edited by."""

    table: ClassVar[str] = "random_features"
    run_id: Column
    ablation: Column
    layer: Column
    rank: Column
    feature: Column
    score: Column
    threshold: Column
    firing_rate: Column
    mean_value: Column
    factor: Column
    edit_size: Column
    origin: Column


@dataclass(frozen=True)
class ControlBalance(Columns):
    """A row is how far the target and its controls lie apart in a property, where they are edited."""

    table: ClassVar[str] = "control_balance"
    run_id: Column
    ablation: Column
    property: Column
    target: Column
    controls: Column
    difference: Column
    origin: Column


@dataclass(frozen=True)
class MatchedFeatures(Columns):
    """A row is what became of a feature of another eval's set, where it was not simply taken."""

    table: ClassVar[str] = "matched_features"
    run_id: Column
    ablation: Column
    rank: Column
    layer: Column
    feature: Column
    from_feature: Column
    from_run: Column
    cosine: Column
    taken: Column
    origin: Column


@dataclass(frozen=True)
class Impacts(Columns):
    """A row is what an intervention does to one metric of a prompt."""

    table: ClassVar[str] = "impacts"
    run_id: Column
    intervention_id: Column
    prompt_id: Column
    metric: Column
    baseline: Column
    edited: Column
    impact: Column
    active: Column
    source_id: Column
    origin: Column


@dataclass(frozen=True)
class ImpactNoise(Columns):
    """A row is what an edit that changes nothing seems to do to one metric of a prompt."""

    table: ClassVar[str] = "impact_noise"
    run_id: Column
    ablation: Column
    prompt_id: Column
    metric: Column
    difference: Column
    origin: Column


@dataclass(frozen=True)
class ImpactTokens(Columns):
    """A row is what an intervention does to one token of a candidate."""

    table: ClassVar[str] = "impact_tokens"
    run_id: Column
    intervention_id: Column
    prompt_id: Column
    candidate: Column
    token_index: Column
    baseline: Column
    edited: Column
    kl: Column
    flipped: Column
    origin: Column
    member: Column


@dataclass(frozen=True)
class SideEffects(Columns):
    """A row is what an intervention does to one metric of a prompt that it is not meant for."""

    table: ClassVar[str] = "side_effects"
    run_id: Column
    ablation: Column
    file: Column
    intervention_id: Column
    role: Column
    family: Column
    prompt_id: Column
    metric: Column
    baseline: Column
    edited: Column
    impact: Column
    active: Column
    origin: Column


@dataclass(frozen=True)
class InjectedTokens(Columns):
    """A row is a token, or sequence, at which a feature is most active in the discovering prompts."""

    table: ClassVar[str] = "injected_tokens"
    run_id: Column
    ablation: Column
    layer: Column
    feature: Column
    label: Column
    rank: Column
    token_id: Column
    token: Column
    mean_activation: Column
    positions: Column
    texts: Column
    origin: Column
    gram: Column
    before: Column


@dataclass(frozen=True)
class Injections(Columns):
    """A row is how active a feature is in a neutral text, as it is or with its strongest tokens in it."""

    table: ClassVar[str] = "injections"
    run_id: Column
    ablation: Column
    file: Column
    family: Column
    prompt_id: Column
    placement: Column
    layer: Column
    feature: Column
    peak: Column
    at_tokens: Column
    origin: Column
    gram: Column


@dataclass(frozen=True)
class Decoys(Columns):
    """A row is the value of one of an ablation's features at the readout of a prompt that is a decoy."""

    table: ClassVar[str] = "decoys"
    run_id: Column
    ablation: Column
    file: Column
    decoy: Column
    family: Column
    pair_id: Column
    prompt_id: Column
    label: Column
    layer: Column
    feature: Column
    value: Column
    origin: Column
