"""The files that single steps write and `harness export --format poc` gives: what each line holds.

The names are those of the proof of concept that this project grew from; what it had not is described
where it stands. Every line says its `origin`: `real`, `stand-in` or `mock`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.specs.prompt import Label, Origin
from harness.store.export import FORMAT_NAMES


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


ModelName = Annotated[
    str | None, Field(description="What ran: a repository, a folder, or a package (pypi:NAME).")
]
ModelRevision = Annotated[
    str | None, Field(description="The model's commit, or its package's version; null of a folder.")
]
SaeName = Annotated[
    str | None, Field(description="A repository or folder; mock:KIND where it is random.")
]
SaeRevision = Annotated[str | None, Field(description="The SAEs' commit; null of a folder.")]


class Logit(_Line):
    """One of the best tokens of a step."""

    token_id: int
    token: str
    logit: float
    logprob: float = Field(description="Natural logarithm, of the whole vocabulary.")


class ResultLine(_Line):
    """A line of results.jsonl: what the model says to a prompt, greedily."""

    id: str
    pair_id: str
    label: Label
    prompt: str
    tokens: tuple[int, ...] = Field(description="The new tokens.")
    logits_topk: tuple[tuple[Logit, ...], ...] = Field(
        description="For each new token the best logits, the highest first: 50 of them."
    )
    decoded_answer: str
    origin: Origin
    model: ModelName = None
    model_revision: ModelRevision = None


class FeatureLine(_Line):
    """A line of features.jsonl: a prompt's strongest features at a layer."""

    id: str
    pair_id: str
    label: Label
    layer: int
    topk_feature_ids: tuple[int, ...] = Field(description="The strongest first.")
    topk_feature_activations: tuple[float, ...]
    active: int | None = Field(
        default=None,
        description="How many features are active: those beyond the listed ones were cut off.",
    )
    origin: Origin
    model: ModelName = None
    model_revision: ModelRevision = None
    sae: SaeName = None
    sae_revision: SaeRevision = None

    @model_validator(mode="after")
    def _is_aligned(self) -> "FeatureLine":
        if len(self.topk_feature_ids) != len(self.topk_feature_activations):
            raise ValueError("as many features as activations are needed")
        return self


class Diff(_Line):
    """What differs between two sides, the largest difference first."""

    top_diff_features: tuple[int, ...]
    diff_magnitudes: tuple[float, ...] = Field(
        description="|a - b|; where a side's list was cut off, the least that it can be."
    )
    activations_a: tuple[float | None, ...] = Field(
        description="0 where a feature is not active, null where a list was cut off before it."
    )
    activations_b: tuple[float | None, ...]


class PairDiff(Diff):
    """The differences of one pair at one layer; of one prompt in two runs, `id` names it."""

    pair_id: str
    layer: int
    id: str | None = None


class LayerDiff(Diff):
    """The differences of one layer, each averaged over all pairs."""

    n_diffs: int = Field(description="How many pairs or prompts were compared.")


class DiffReport(_Line):
    """diff_report.json: which features differ between two sides. It tests nothing."""

    a: str = Field(description="What the first side is: a run or folder, and a label.")
    b: str
    topk_features: int
    diffs_by_layer: Mapping[int, LayerDiff]
    all_diffs: tuple[PairDiff, ...]
    origin: Origin


class AblationResult(_Line):
    """What an ablation does to one prompt: log-probabilities of its right answer, in nats."""

    id: str
    pair_id: str
    label: Label
    answer: str
    baseline_logprob: float
    ablated_logprob: float
    delta: float


class AblationSummary(_Line):
    """Over all prompts; less than 1e-6 nats is unchanged."""

    mean_delta: float
    decreased: int
    increased: int
    unchanged: int


class Ablated(_Line):
    """One intervention and its impacts."""

    layer: int | None = Field(description="Null where features of several layers are ablated.")
    feature_id: int | None = Field(description="Null where several are ablated together.")
    features: tuple[tuple[int, int], ...] = Field(description="(layer, feature) of each.")
    ablation: str | None = Field(default=None, description="Its name in the spec.")
    role: str = "single"
    kind: str = "zero"
    results: tuple[AblationResult, ...]
    summary: AblationSummary


class AblationReport(Ablated):
    """ablation_report.json: one ablated feature, and after it what else the run ablated."""

    model: str
    sae: str
    seed: int
    origin: Origin
    others: tuple[Ablated, ...] = ()
    model_revision: ModelRevision = None
    sae_revision: SaeRevision = None


FORMATS: Mapping[str, type[BaseModel]] = dict(
    zip(FORMAT_NAMES, (ResultLine, FeatureLine, DiffReport, AblationReport), strict=True)
)


def format_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of one of `FORMATS`: of a line, where the file has lines."""
    schema = FORMATS[name].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
