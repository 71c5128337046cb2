"""The attention and the MLP within a block, and the modules whose outputs the block adds to the stream.

Found by name. Whether what they put out adds up to what the block does is tried on the model itself, see
`harness.models.trial_sites`.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from harness.errors import Fault, InputError

ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")
MLPS = ("mlp", "feed_forward", "block_sparse_moe", "moe")
PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "wo")
# Norms of what attention and MLP put out, by the one after the MLP: other families call norms before the
# MLP what these call norms after attention.
POST_NORMS = {
    "post_feedforward_layernorm": "post_attention_layernorm",  # Gemma 2 and 3, OLMo 2 and 3, EXAONE 4
    "post_mlp_layernorm": "post_self_attn_layernorm",  # GLM 4
}
REMEDY = "name dictionaries of the residual stream, `hook: resid_post`"


@dataclass(frozen=True)
class BlockParts:
    """Names of a block's parts, each to be had by `module`.

    `attention` and `mlp` are modules of the block; `attention_norm` and `mlp_norm` the norms of what they
    put out, where it has such; `projection` is the attention's last matrix, by its path within the block.
    """

    block: nn.Module
    attention: str
    mlp: str
    projection: str
    attention_norm: str | None = None
    mlp_norm: str | None = None

    def module(self, name: str) -> Any:
        """A part by its path."""
        return self.block.get_submodule(name)

    @property
    def added_by_attention(self) -> Any:
        """The module whose output attention adds to the stream."""
        return self.module(self.attention_norm or self.attention)

    @property
    def added_by_mlp(self) -> Any:
        """The module whose output the MLP adds to the stream."""
        return self.module(self.mlp_norm or self.mlp)

    @property
    def width(self) -> int:
        """How many dimensions the stream has."""
        projection = self.module(self.projection)
        size = getattr(projection, "out_features", None)
        return int(size if size is not None else projection.weight.shape[1])

    @property
    def heads_width(self) -> int:
        """How many numbers all heads put out together at a position."""
        projection = self.module(self.projection)
        size = getattr(
            projection, "in_features", None
        )  # GPT-2's matrices are turned, and have none
        return int(size if size is not None else projection.weight.shape[0])


def parts_of(block: nn.Module, kind: str) -> BlockParts:
    """The parts of a block of a model of this `kind`. Raises `InputError` where one is not found."""
    attention = _first(block, ATTENTIONS)
    mlp = _first(block, MLPS)
    projection = attention and _projection(block.get_submodule(attention))
    if attention is None or mlp is None or projection is None:
        what = "no attention and MLP are found within its blocks"
        raise InputError(Fault(f"models of kind {kind}", what, REMEDY))
    after_mlp = next((name for name in POST_NORMS if hasattr(block, name)), None)
    return BlockParts(
        block,
        attention,
        mlp,
        f"{attention}.{projection}",
        attention_norm=after_mlp and POST_NORMS[after_mlp],
        mlp_norm=after_mlp,
    )


def _first(block: nn.Module, names: tuple[str, ...]) -> str | None:
    there = {name for name, _ in block.named_children()}
    return next((name for name in names if name in there), None)


def _projection(attention: nn.Module) -> str | None:
    paths = [path for path, _ in attention.named_modules() if path.split(".")[-1] in PROJECTIONS]
    return paths[-1] if paths else None
