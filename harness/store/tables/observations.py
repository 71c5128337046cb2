"""Rows of what was observed: answers, generations, activations, and how well the SAEs fit."""

from dataclasses import dataclass
from typing import ClassVar

from harness.store.tables.columns import Column, Columns


@dataclass(frozen=True)
class Generations(Columns):
    """A row is what the model says to a prompt by itself, greedily."""

    table: ClassVar[str] = "generations"
    run_id: Column
    prompt_id: Column
    decoded_answer: Column
    token_ids: Column
    origin: Column


@dataclass(frozen=True)
class TopkLogits(Columns):
    """A row is one of the 50 best tokens at a generated step of a prompt."""

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
    """A row is the log-probability of one token of one candidate after a prompt."""

    table: ClassVar[str] = "answers"
    run_id: Column
    prompt_id: Column
    candidate: Column
    token_index: Column
    token_id: Column
    token: Column
    logprob: Column
    origin: Column
    member: Column


@dataclass(frozen=True)
class Baselines(Columns):
    """A row is the log-probability of one candidate after a prompt without its scene."""

    table: ClassVar[str] = "baselines"
    run_id: Column
    prompt_id: Column
    candidate: Column
    logprob: Column
    origin: Column


@dataclass(frozen=True)
class Activations(Columns):
    """A row is a feature that is active at the readout of a prompt; others have none."""

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
    """A row is a token of a traced prompt, or of what its variant answers."""

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
    """A row is a traced feature that is active at one token; others have none."""

    table: ClassVar[str] = "token_activations"
    run_id: Column
    prompt_id: Column
    layer: Column
    feature: Column
    position: Column
    value: Column
    origin: Column


@dataclass(frozen=True)
class FeatureLogits(Columns):
    """A row is one of the tokens whose logit a traced feature moves most by itself, up or down."""

    table: ClassVar[str] = "feature_logits"
    run_id: Column
    layer: Column
    feature: Column
    side: Column
    rank: Column
    token_id: Column
    token: Column
    logit: Column
    origin: Column


@dataclass(frozen=True)
class OutputScores(Columns):
    """A row is whether the tokens that a traced feature moves up come out when it is amplified."""

    table: ClassVar[str] = "output_scores"
    run_id: Column
    layer: Column
    feature: Column
    score: Column
    base: Column
    added: Column
    n_texts: Column
    origin: Column


@dataclass(frozen=True)
class SaeHealth(Columns):
    """A row is how well one layer's SAE fits the model on the prompts."""

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
    """A row is how often and how strongly a feature fires at the prompts' positions."""

    table: ClassVar[str] = "feature_activity"
    run_id: Column
    layer: Column
    feature: Column
    firing_rate: Column
    mean_activation: Column
    decoder_norm: Column
    origin: Column


@dataclass(frozen=True)
class EditActivity(Columns):
    """A row is how often and how strongly a feature fires where an ablation edits.

    Its discovery prompts of the edited variant are meant. `mean_value` is over those of both variants, 0
    where it does not fire, and null of a kind of edit that does not need it.
    """

    table: ClassVar[str] = "edit_activity"
    run_id: Column
    ablation: Column
    layer: Column
    feature: Column
    firing_rate: Column
    mean_activation: Column
    mean_value: Column
    decoder_norm: Column
    origin: Column


@dataclass(frozen=True)
class Attributions(Columns):
    """A row is the predicted effect of removing a feature, summed over the prompts of a family."""

    table: ClassVar[str] = "attributions"
    run_id: Column
    ablation: Column
    family: Column
    layer: Column
    feature: Column
    predicted: Column
    origin: Column


@dataclass(frozen=True)
class AttributionErrors(Columns):
    """A row is the predicted effect of removing the parts of a layer: its features, and what is left.

    Summed over the prompts of a family; `error` is what the SAE does not reconstruct, `constant` its bias.
    """

    table: ClassVar[str] = "attribution_errors"
    run_id: Column
    ablation: Column
    family: Column
    layer: Column
    features: Column
    error: Column
    constant: Column
    origin: Column
