"""Rows of what was observed: answers, generations, activations, and how well the SAEs fit."""

from dataclasses import dataclass
from typing import ClassVar

from harness.store.tables.base import Column, Columns


@dataclass(frozen=True)
class Generations(Columns):
    """Rows of `generations`."""

    table: ClassVar[str] = "generations"
    run_id: Column
    prompt_id: Column
    decoded_answer: Column
    token_ids: Column
    origin: Column


@dataclass(frozen=True)
class TopkLogits(Columns):
    """Rows of `topk_logits`."""

    table: ClassVar[str] = "topk_logits"
    run_id: Column
    prompt_id: Column
    step: Column
    rank: Column
    token_id: Column
    token: Column
    logit: Column
    logprob: Column
    origin: Column


@dataclass(frozen=True)
class Answers(Columns):
    """Rows of `answers`."""

    table: ClassVar[str] = "answers"
    run_id: Column
    prompt_id: Column
    candidate: Column
    token_index: Column
    token_id: Column
    token: Column
    logprob: Column
    origin: Column


@dataclass(frozen=True)
class Activations(Columns):
    """Rows of `activations`."""

    table: ClassVar[str] = "activations"
    run_id: Column
    prompt_id: Column
    layer: Column
    readout: Column
    feature: Column
    value: Column
    origin: Column


@dataclass(frozen=True)
class PromptTokens(Columns):
    """Rows of `prompt_tokens`."""

    table: ClassVar[str] = "prompt_tokens"
    run_id: Column
    prompt_id: Column
    position: Column
    part: Column
    token_id: Column
    token: Column
    origin: Column


@dataclass(frozen=True)
class TokenActivations(Columns):
    """Rows of `token_activations`."""

    table: ClassVar[str] = "token_activations"
    run_id: Column
    prompt_id: Column
    layer: Column
    feature: Column
    position: Column
    value: Column
    origin: Column


@dataclass(frozen=True)
class SaeHealth(Columns):
    """Rows of `sae_health`."""

    table: ClassVar[str] = "sae_health"
    run_id: Column
    layer: Column
    width: Column
    n_prompts: Column
    n_positions: Column
    l0: Column
    fvu: Column
    fvu_median: Column
    dead: Column
    loss: Column
    loss_spliced: Column
    loss_zeroed: Column
    loss_recovered: Column
    warning: Column
    origin: Column


@dataclass(frozen=True)
class FeatureActivity(Columns):
    """Rows of `feature_activity`."""

    table: ClassVar[str] = "feature_activity"
    run_id: Column
    layer: Column
    feature: Column
    firing_rate: Column
    mean_activation: Column
    decoder_norm: Column
    origin: Column


@dataclass(frozen=True)
class Attributions(Columns):
    """Rows of `attributions`."""

    table: ClassVar[str] = "attributions"
    run_id: Column
    ablation: Column
    family: Column
    layer: Column
    feature: Column
    predicted: Column
    origin: Column
