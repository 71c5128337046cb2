"""What is claimed: the spec language, as frozen models. Nothing here computes or reads a file.

The field descriptions become `eval.schema.json`, which editors show while a spec is written.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Label = Literal["correct", "misconception"]
Where = Literal["last_prompt_token", "prompt", "answer", "all"]
Kind = Literal["zero", "mean", "resample", "clamp", "scale", "steer", "direction"]
VALUED = ("clamp", "scale", "steer")  # kinds of edit that need a number
Metric = Literal["logit_difference", "log_p_correct", "log_p_misconception"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Share = Annotated[float, Field(ge=0, lt=1)]
Alpha = Annotated[float, Field(gt=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Place = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Positions = Annotated[
    Annotated[Where, Tag("named")]
    | Annotated[tuple[Place, ...], Field(min_length=1), Tag("numbered")],
    Discriminator(lambda positions: "named" if isinstance(positions, str) else "numbered"),
]
Layers = Annotated[
    Annotated[Literal["all", "default", "none"], Tag("named")]
    | Annotated[tuple[int, ...], Field(min_length=1), Tag("some")],
    Discriminator(lambda layers: "named" if isinstance(layers, str) else "some"),
]
L0 = int | str
# A key of YAML is text, and so is a key of JSON.
LayerKey = Annotated[int, Field(strict=False)]
L0s = Annotated[
    Annotated[L0, Tag("one")] | Annotated[dict[LayerKey, L0], Tag("by layer")],
    Discriminator(lambda l0: "by layer" if isinstance(l0, dict) else "one"),
]
SaeWidth = Annotated[str, Field(pattern=r"^\d+[km]?$")]
Dtype = Literal["float32", "bfloat16", "float16"]


class TargetChoice(_Part):
    """How a known target is used, or what a target of the spec's own is."""

    layers: Layers = Field(
        default="default",
        description="Blocks whose output is read, counted from 0; `all`; the target's `default`; or "
        "`none`, which needs no SAE and leaves only claims about behaviour.",
    )
    width: SaeWidth | None = Field(
        default=None,
        description="How many features the SAEs have, as it is published: `16k`, `65k`.",
    )
    l0: L0s | None = Field(
        default=None,
        description="Which of several SAEs of a layer and width: its average L0, `small`, `medium` or "
        "`big`, or `canonical` (nearest to 100). For some layers their own: {12: 176, 24: 73}.",
    )
    model: str | None = Field(
        default=None,
        description="A folder, a GGUF file, or a repository of the hub, for a target of your own.",
    )
    revision: str | None = Field(default=None, description="Of the model's repository.")
    sae: str | None = Field(
        default=None,
        description="A folder or a repository of SAEs; `mock:orthogonal` or `mock:jumprelu` for random "
        "ones, which are no evidence of anything.",
    )
    sae_revision: str | None = Field(default=None, description="Of the SAEs' repository.")
    files: str | None = Field(
        default=None,
        description="Where a layer's SAE lies within `sae`, if its name does not tell: "
        "`layers/{layer}/params.npz`. A * stands for the only match in a local folder.",
    )
    dtype: Dtype | None = Field(
        default=None,
        description="What the model computes in: `float32`, `bfloat16`, or `float16`, which overflows "
        "in this family of models. Of a target of your own float32.",
    )
    stand_in: bool = Field(
        default=False,
        description="The model shows the method and is no evidence: a toy, or random.",
    )


class Readout(_Part):
    """Where features are read, and how several positions become one value."""

    at: Where = Field(
        default="last_prompt_token",
        description="`last_prompt_token`: before any answer is given. `answer`: on the tokens of the "
        "variant's own answer. `prompt`: on every prompt token but BOS. `all`: on both.",
    )
    reduce: Literal["mean", "max", "sum"] = Field(
        default="mean",
        description="How the values at several positions become one: `mean`, `max` or `sum`.",
    )


class Split(_Part):
    """Which families select features and which confirm claims. No family does both."""

    by: Literal["family"] = Field(
        default="family", description="The unit that is never divided: the `family`."
    )
    discovery: Share = Field(
        default=0.5,
        description="Share of families used for selection; the rest confirm. 0 where nothing is selected.",
    )
    seed: int = Field(
        default=42, ge=0, lt=2**63, description="Decides which families fall on which side."
    )


class Contrast(_Part):
    """The paired test of every feature between the two variants."""

    of: Label = Field(
        default="correct",
        description="The variant that counts as positive, `correct` or `misconception`.",
    )
    against: Label = Field(
        default="misconception",
        description="The variant it is compared with, `misconception` or `correct`.",
    )
    statistic: Literal["pratt+mcnemar", "signed-rank", "mcnemar", "mean"] = Field(
        default="pratt+mcnemar",
        description="What is summed within a family and flipped. `signed-rank`: ranks of the "
        "differences, by Pratt. `mcnemar`: in which variant the feature fires. `pratt+mcnemar`: the "
        "larger of the two, corrected. `mean`: the differences themselves.",
    )
    correction: Literal["max-t"] = Field(
        default="max-t",
        description="`max-t`: family-wise over every feature of every layer, step-down.",
    )
    alpha: Alpha = Field(default=0.05, description="The error rate of every claim in the file.")


class Select(_Part):
    """Which features an ablation edits: chosen on the discovery families, then frozen."""

    top: int = Field(default=10, ge=1, le=1000, description="How many features, at most.")
    by: Literal["contrast", "attribution", "list", "truth"] = Field(
        description="`contrast`: the strongest difference between the variants at the readout. "
        "`attribution`: the largest predicted effect on the metric of removing the feature at the "
        "edited positions. `list`: those under `features`. `truth`: the target's known features."
    )
    toward: Literal["correct", "misconception"] = Field(
        default="correct",
        description="Keep features whose removal is expected to move the answer this way: toward the "
        "`correct` one, or toward the `misconception`.",
    )
    method: Literal["gradient", "integrated-gradients"] = Field(
        default="gradient",
        description="How attribution predicts. `gradient`: gradient x activation. "
        "`integrated-gradients`: gradients averaged while the layer's features grow from 0.",
    )
    steps: int = Field(default=10, ge=1, le=1000, description="Of integrated gradients.")
    features: dict[LayerKey, Annotated[tuple[int, ...], Field(min_length=1)]] = Field(
        default={}, description="For `by: list`: the features of each layer, {12: [4567, 81]}."
    )


class Ablation(_Part):
    """An edit of the residual stream, with matched random controls."""

    name: Name = Field(description="What claims and the store call it.")
    select: Select = Field(description="Which features are edited.")
    kind: Kind = Field(
        default="zero",
        description="What takes the place of the feature's value f. `zero`: 0. `mean`: its mean on the "
        "discovery families' prompts. `resample`: its value in another prompt. `clamp`: `value`. "
        "`scale`: `value` times f. `steer`: f plus `value`. `direction`: nothing; the features' "
        "directions are projected out of the residual stream.",
    )
    value: float | None = Field(
        default=None, description="Of clamp and steer in units of the feature, of scale a factor."
    )
    source: Literal["pair", "random"] | None = Field(
        default=None,
        description="Of resample, where the value comes from. `pair`: the pair's other variant. "
        "`random`: a discovery prompt. Tokens are aligned from the end of the prompt.",
    )
    doses: tuple[float, ...] = Field(
        default=(),
        description="Factors by which the selected features are scaled as well: 0 removes them, 1 "
        "leaves them.",
    )
    positions: Positions = Field(
        default="all",
        description="Where the edit is made, never at BOS: at `all` tokens, those of the `prompt` or "
        "the `answer`, at `last_prompt_token`, or at numbered tokens of the prompt: 1 is the first "
        "after BOS, -1 the last.",
    )
    variant: Label = Field(
        default="misconception",
        description="The variant on whose prompts the impact is measured, `correct` or "
        "`misconception`.",
    )
    controls: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Sets of random features matched on layer, firing rate, mean activation and "
        "decoder norm.",
    )
    only: tuple[str, ...] = Field(
        default=(), description="Targets on which the edit is made; everywhere when empty."
    )


class _Claim(_Part):
    name: Name = Field(description="What the claim is called on every surface.")
    only: tuple[str, ...] = Field(
        default=(), description="Targets on which the claim is made; everywhere when empty."
    )


class BehaviourClaim(_Claim):
    """About what the model answers, without looking inside."""

    behaviour: Metric = Field(
        description="What the model answers, in nats. `logit_difference`: log p(correct) - log "
        "p(misconception), of a prompt's two candidate answers. `log_p_correct`, "
        "`log_p_misconception`: one of the two."
    )
    contrast: bool = Field(
        default=False, description="Compare the variants of each pair instead of their common mean."
    )
    direction: Literal["greater", "less"] | None = Field(
        default=None,
        description="Claim that the mean is `greater` or `less` than `than`. Either this or `within`.",
    )
    than: float = Field(default=0.0, description="What the mean is compared with, in nats.")
    within: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Claim equivalence to `than` within this margin, in nats. Either this or "
        "`direction`.",
    )


class FeatureClaim(_Claim):
    """About the paired tests of the features."""

    features: Literal["significant", "truth"] = Field(
        description="What is counted on the confirming families. `significant`: the features whose "
        "corrected test rejects. `truth`: those of the target's known features among them."
    )
    at_least: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Claim that there are so many or more. Either this or `at_most`."
    )
    at_most: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Claim that there are so many or fewer. Either this or `at_least`.",
    )


class AblationClaim(_Claim):
    """About what happens to the answers when features are removed."""

    ablation: str = Field(description="The name of an ablation of this file.")
    direction: Literal["toward-correct", "toward-misconception"] | None = Field(
        default=None,
        description="Claim that the edit moves the answers `toward-correct` or "
        "`toward-misconception`. Either this or `within`.",
    )
    beyond: Literal["zero", "controls"] = Field(
        default="controls",
        description="What the impact must exceed. `zero`: no impact. `controls`: besides, the impact "
        "of the matched random features.",
    )
    within: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Claim that the impact is no larger than this, in nats. Either this or "
        "`direction`.",
    )


CLAIM_KINDS: dict[str, type[_Claim]] = {
    "behaviour": BehaviourClaim,
    "features": FeatureClaim,
    "ablation": AblationClaim,
}


def _claim_kind(claim: Any) -> str | None:
    if isinstance(claim, dict):
        return next((kind for kind in CLAIM_KINDS if kind in claim), None)
    return next((kind for kind, model in CLAIM_KINDS.items() if isinstance(claim, model)), None)


Claim = Annotated[
    Annotated[BehaviourClaim, Tag("behaviour")]
    | Annotated[FeatureClaim, Tag("features")]
    | Annotated[AblationClaim, Tag("ablation")],
    Discriminator(
        _claim_kind,
        custom_error_type="claim_kind",
        custom_error_message="a claim is about one of behaviour, features or ablation",
    ),
]


class Spec(_Part):
    """One question, and what must be true for each answer to it."""

    name: Name = Field(description="What the eval is called in the store and on every surface.")
    question: str = Field(min_length=1, description="One sentence that ends in a question mark.")
    targets: dict[str, TargetChoice] = Field(
        min_length=1, description="The targets this runs on; `harness targets` lists them."
    )
    prompts: str = Field(
        description="A JSONL file of prompts, beside the spec, in the folder above it, or below the "
        "working directory."
    )
    balance: Literal["family", "none"] = Field(
        default="family",
        description="`family`: each answer must be right as often as it is wrong within every family. "
        "`none`: that is not asked for.",
    )
    readout: Readout = Field(
        default=Readout(),
        description="Where features are read, and how positions become one value.",
    )
    split: Split = Field(
        default=Split(), description="Which families select features and which confirm claims."
    )
    contrast: Contrast = Field(
        default=Contrast(), description="The paired test of every feature between the variants."
    )
    ablations: tuple[Ablation, ...] = Field(
        default=(), description="Edits of the model whose impacts claims are about."
    )
    metric: Literal["logit_difference"] = Field(
        default="logit_difference",
        description="What impacts are measured in. `logit_difference`: log p(correct) - log "
        "p(misconception), in nats.",
    )
    new_tokens: int = Field(
        default=10, ge=0, le=512, description="How many tokens are generated for each prompt."
    )
    claims: tuple[Claim, ...] = Field(min_length=1, description="What is expected of the results.")

    def canonical(self) -> str:
        """The spec as JSON with sorted keys and every default written out."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical form: what makes two specs the same."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def ablations_on(self, target: str) -> tuple[Ablation, ...]:
        """The ablations that are made on this target."""
        return tuple(one for one in self.ablations if not one.only or target in one.only)

    def claims_on(self, target: str) -> tuple[Claim, ...]:
        """The claims that are made on this target."""
        return tuple(claim for claim in self.claims if not claim.only or target in claim.only)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file, for editors."""
    schema = Spec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
