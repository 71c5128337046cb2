"""How a spec uses a known target, or what a target of its own is."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from harness.specs.fields import Dtype, L0s, Layers, SaeWidth, SpecPart, WhereBos, without
from harness.specs.sites import Hook


class TargetChoice(SpecPart):
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
        description="A folder or a repository of SAEs; `saelens:RELEASE`, or `saelens:RELEASE/ID` with "
        "{layer} in the id, of SAELens' registry; `mock:orthogonal` or `mock:jumprelu` for random ones, "
        "which are no evidence of anything.",
    )
    hook: Hook | None = Field(
        default=None,
        description="What the SAEs read: the stream after a block (`resid_post`, the default) or before it "
        "(`resid_pre`), what its MLP (`mlp_out`) or its attention (`attn_out`) adds to the stream, or what "
        "goes into its MLP, of a `transcoder`.",
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
    bos: WhereBos | None = Field(
        default=None,
        description="Whether prompts begin with the tokenizer's BOS. `auto`, as without it: where the "
        "tokenizer puts it there by itself, and always with Gemma. `always`: as dictionaries of GPT-2 and "
        "Pythia were trained, whose tokenizers do not. `never`.",
    )

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is as it was before there was a choice, so that no hash changes."""
        return without(plain(self), {"bos": None, "hook": None})
