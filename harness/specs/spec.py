"""What is claimed: the spec language, as frozen models. Nothing here computes or reads a file.

The field descriptions become `eval.schema.json`, which editors show while a spec is written.
"""

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from harness.specs.ablations import Ablation
from harness.specs.claim_part import ClaimPart
from harness.specs.claims import Claim
from harness.specs.clusters import CORRELATION, FAMILY
from harness.specs.contrast import Contrast
from harness.specs.fields import (
    Name,
    NamedPositions,
    Share,
    SpecPart,
    without,
)
from harness.specs.metrics import Metric
from harness.specs.target_choice import TargetChoice
from harness.specs.variants import Variants, variants_of

MOST = 500  # targets, ablations or claims of a spec


class Readout(SpecPart):
    """Where features are read, and how several positions become one value."""

    at: NamedPositions = Field(
        default="last_prompt_token",
        description="`last_prompt_token`: before any answer is given. `answer`: on the tokens of the "
        "variant's own answer. `prompt`: on every prompt token but BOS. `all`: on both. Of chats also "
        "`last_user_token`, and `assistant`: on all that the assistant says, the answer too.",
    )
    reduce: Literal["mean", "max", "sum"] = Field(
        default="mean",
        description="How the values at several positions become one: `mean`, `max` or `sum`.",
    )


class Split(SpecPart):
    """Which families select features and which confirm claims. No family does both."""

    by: str = Field(
        default=FAMILY,
        min_length=1,
        description="The unit that is never divided: the `family`, or a tag that every line has and a family "
        "has once, such as `principle`, of which all families then lie on one side.",
    )
    discovery: Share = Field(
        default=0.5,
        description="Share of families used for selection; the rest confirm. 0 where nothing is selected.",
    )
    seed: int = Field(
        default=42, ge=0, lt=2**63, description="Decides which families fall on which side."
    )
    strata: str | None = Field(
        default=None,
        min_length=1,
        description="A tag that every line has and a family has once, such as `principle`: the families of "
        "each of its values are split as evenly as the seed allows.",
    )
    holdout: str | None = Field(
        default=None,
        min_length=1,
        description="A tag that every line has and a family has once, such as `form`: a third of its values, "
        "by the seed, occur only in confirming families, so that something is confirmed on unseen ones. "
        "Where clusters are split whole, families of a discovering one that have them are left out.",
    )
    correlation: float = Field(
        default=CORRELATION,
        ge=0,
        le=1,
        description="Of two families of a cluster, in what is claimed of them: for the number of independent "
        "families that `check` tells, and nothing else.",
    )

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is as it was before there was a choice, so that no hash changes."""
        return without(plain(self), {"strata": None, "holdout": None, "correlation": CORRELATION})


class Shortcuts(SpecPart):
    """What may tell the variants apart without any model."""

    allow: str = Field(
        min_length=1,
        description="Why words, answers or lengths may tell the variants apart: shown where the spec is "
        "checked and in the report.",
    )


class Spec(SpecPart):
    """One question, and what must be true for each answer to it."""

    name: Name = Field(description="What the eval is called in the store and on every surface.")
    question: str = Field(min_length=1, description="One sentence that ends in a question mark.")
    targets: dict[Name, TargetChoice] = Field(
        min_length=1,
        max_length=MOST,
        description="The targets this runs on; `harness targets` lists them.",
    )
    prompts: str = Field(
        description="A JSONL file of prompts, beside the spec, in the folder above it, or below the "
        "working directory."
    )
    chat: bool = Field(
        default=False,
        description="Every prompt is what a user asks, put into tokens by the model's own chat template, and "
        "the answer is the assistant's. A prompt line may be a list of messages in any case.",
    )
    balance: Literal["family", "none"] = Field(
        default="family",
        description="`family`: each answer must be right as often as it is wrong within every family. "
        "`none`: that is not asked for.",
    )
    shortcuts: Shortcuts | None = Field(
        default=None,
        description="Allows, for a reason, what `harness check` refuses: prompts whose variants words, "
        "answers or lengths alone tell apart.",
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
        default=(),
        max_length=MOST,
        description="Edits of the model whose impacts claims are about.",
    )
    metric: Metric = Field(
        default="logit_difference",
        description="What impacts are measured in. `logit_difference`: log p(correct) - log "
        "p(misconception), in nats. `log_p_correct`, `log_p_misconception`, `log_mass`, `mass`, `accuracy`: "
        "as of claims about behaviour; or a metric that you register.",
    )
    new_tokens: int = Field(
        default=10, ge=0, le=512, description="How many tokens are generated for each prompt."
    )
    claims: tuple[Claim, ...] = Field(
        min_length=1, max_length=MOST, description="What is expected of the results."
    )
    cluster: str = Field(
        default=FAMILY,
        min_length=1,
        description="The tag whose values are the independent units of every test of the file, such as "
        "`principle`: families that share one count as one. `family`: each family is one.",
    )
    order: Literal["holm", "fixed-sequence"] = Field(
        default="holm",
        description="How the claims on a target are corrected for being several. `holm`: in the order of "
        "their p. `fixed-sequence`: each at alpha in the order of this file, until one is not supported.",
    )
    unadjusted: str | None = Field(
        default=None,
        min_length=1,
        description="Why claims are not corrected for being several: shown beside each of them.",
    )

    @model_validator(mode="before")
    @classmethod
    def _in_roles(cls, data: Any) -> Any:
        """With the variants' roles for their names, see `harness.specs.variants`."""
        variants = variants_of(data)
        return data if variants.are_roles else variants.in_roles(data)

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it is written, without what is as it was before there was a choice, so that no hash changes."""
        fields: dict[str, Any] = self.variants.in_names(plain(self))
        later = {"order": "holm", "unadjusted": None, "cluster": FAMILY, "shortcuts": None}
        return without(fields, {**later, "chat": False})

    def canonical(self) -> str:
        """The spec as JSON with sorted keys and every default written out."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def variants(self) -> Variants:
        """What the two variants that are compared are called, by role."""
        return self.contrast.variants

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical form: what makes two specs the same."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def ablations_on(self, target: str) -> tuple[Ablation, ...]:
        """The ablations that are made on this target."""
        return tuple(one for one in self.ablations if not one.only or target in one.only)

    def cluster_of(self, claim: ClaimPart) -> str:
        """The tag whose values are the units of a claim's tests: its own, or the spec's."""
        return claim.cluster or self.cluster

    @property
    def metrics(self) -> frozenset[str]:
        """What is measured in it, by role; a claim without a metric of its own is in the spec's."""
        said = (
            getattr(claim, "behaviour", None) or getattr(claim, "metric", None)
            for claim in self.claims
        )
        return frozenset({self.metric, *filter(None, said)})

    def metric_of(self, claim: ClaimPart) -> str:
        """What a claim about an edit is measured in: its own metric, or the spec's."""
        return getattr(claim, "metric", None) or self.metric

    def claims_on(self, target: str) -> tuple[Claim, ...]:
        """The claims that are made on this target."""
        return tuple(claim for claim in self.claims if not claim.only or target in claim.only)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file, for editors."""
    schema = Spec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
