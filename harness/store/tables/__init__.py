"""What is observed: prompts, and the rows of every table of the store.

A table's class holds its columns, each a sequence of the same length, so that a million rows cost
one object. These classes are the only place in the code that names the store's columns;
`db/schema.sql` gives their types and `db/README.md` their meaning.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol, Self

Label = Literal["correct", "misconception"]
Origin = Literal["real", "stand-in", "mock"]
LIMITED = "limited to "  # how `runs.exploratory` of a trial on some of the families begins
LABELS: tuple[Label, Label] = ("correct", "misconception")


@dataclass(frozen=True)
class Prompt:
    """One line of a prompt file, completed from its pair.

    `answer` is what this variant says. `correct` and `misconception` are the two candidates of its
    pair, whose log-probabilities are compared.
    """

    id: str
    pair_id: str
    family: str
    label: Label
    text: str
    answer: str
    correct: str
    misconception: str
    line: int
    tags: Mapping[str, str] = field(default_factory=dict)

    def candidate(self, which: Label) -> str:
        """The answer that counts as `which`."""
        return self.correct if which == "correct" else self.misconception


class Column(Protocol):
    """A list, or a numpy array of one dimension."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Columns:
    """Columns of one table; a subclass names them."""

    table: ClassVar[str]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The columns, in their order."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """From rows; a column that a row lacks is null there."""
        listed = list(rows)
        unknown = {key for row in listed for key in row} - set(cls.names())
        if unknown:
            raise KeyError(f"{cls.table} has no column {sorted(unknown)}")
        return cls(**{name: [row.get(name) for row in listed] for name in cls.names()})

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dictionary a row, of Python's own types."""
        names = self.names()
        for values in zip(*(getattr(self, name) for name in names), strict=True):
            plain = (v.tolist() if hasattr(v, "tolist") else v for v in values)
            yield dict(zip(names, plain, strict=True))

    def __len__(self) -> int:
        return len(getattr(self, self.names()[0]))


@dataclass(frozen=True)
class Runs(Columns):
    """Rows of `runs`."""

    table: ClassVar[str] = "runs"
    run_id: Column
    content: Column
    created_at: Column
    finished_at: Column
    status: Column
    spec_name: Column
    spec_hash: Column
    spec: Column
    spec_path: Column
    question: Column
    target: Column
    origin: Column
    exploratory: Column
    prompts_path: Column
    prompts_hash: Column
    model: Column
    model_revision: Column
    model_hash: Column
    sae: Column
    sae_revision: Column
    sae_hash: Column
    sae_files: Column
    sae_hashes: Column
    layers: Column
    readout: Column
    metric: Column
    alpha: Column
    seed: Column
    device: Column
    dtype: Column
    attention: Column
    padding_side: Column
    batch_size: Column
    code_hash: Column
    git_commit: Column
    git_dirty: Column
    harness_version: Column
    python_version: Column
    torch_version: Column
    transformers_version: Column
    numpy_version: Column
    scipy_version: Column
    duckdb_version: Column
    platform: Column
    wall_seconds: Column
    peak_memory: Column
    peak_device_memory: Column
    neuronpedia: Column
    threads: Column
    analysed_spec: Column


@dataclass(frozen=True)
class Units(Columns):
    """Rows of `units`."""

    table: ClassVar[str] = "units"
    run_id: Column
    unit_id: Column
    stage: Column
    family: Column
    ablation: Column
    finished_at: Column
    seconds: Column


@dataclass(frozen=True)
class Prompts(Columns):
    """Rows of `prompts`."""

    table: ClassVar[str] = "prompts"
    run_id: Column
    prompt_id: Column
    pair_id: Column
    family: Column
    label: Column
    split: Column
    prompt: Column
    answer: Column
    correct: Column
    misconception: Column
    line: Column


@dataclass(frozen=True)
class PromptTags(Columns):
    """Rows of `prompt_tags`."""

    table: ClassVar[str] = "prompt_tags"
    run_id: Column
    prompt_id: Column
    tag: Column
    value: Column


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


@dataclass(frozen=True)
class Interventions(Columns):
    """Rows of `interventions`."""

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


@dataclass(frozen=True)
class Impacts(Columns):
    """Rows of `impacts`."""

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
class ImpactTokens(Columns):
    """Rows of `impact_tokens`."""

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


@dataclass(frozen=True)
class FeatureTests(Columns):
    """Rows of `feature_tests`."""

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
    """Rows of `ablation_tests`."""

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


@dataclass(frozen=True)
class Verdicts(Columns):
    """Rows of `verdicts`."""

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


@dataclass(frozen=True)
class FeatureLabels(Columns):
    """Rows of `feature_labels`, which belong to no run."""

    table: ClassVar[str] = "feature_labels"
    source: Column
    feature: Column
    label: Column
    explainer: Column
    fetched_at: Column


# The tables of a run: each has `run_id`. `feature_labels` is kept beside them for all runs.
TABLES: tuple[type[Columns], ...] = (
    Runs,
    Units,
    Prompts,
    PromptTags,
    Generations,
    TopkLogits,
    Answers,
    Activations,
    PromptTokens,
    TokenActivations,
    SaeHealth,
    FeatureActivity,
    Attributions,
    Interventions,
    Impacts,
    ImpactTokens,
    FeatureTests,
    AblationTests,
    Verdicts,
)
