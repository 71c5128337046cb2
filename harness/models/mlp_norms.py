"""The norm whose output an MLP reads: by how much its weights scale and shift what it has normed."""

from torch import nn

from harness.errors import Fault, InputError
from harness.models.block_parts import BlockParts
from harness.models.norm_weights import NormWeights, weights_of

# By the names that families give it, the first of a block counts. A norm of what attention puts out is
# another one, though it may have the name that others give this one. The last two are of parallel blocks,
# where attention and MLP read the same.
NORMS = (
    "pre_feedforward_layernorm", "feedforward_layernorm", "ffn_norm", "ln_2", "norm_2", "ln_mlp",
    "post_attention_layernorm", "input_layernorm", "ln_1",
)  # fmt: skip
REMEDY = "name transcoders of what the MLP reads as it is"


def mlp_norm(parts: BlockParts) -> NormWeights:
    """The weights of the norm before a block's MLP: what the MLP reads is normed * gain + bias.

    Raises `InputError` where no such norm is found.
    """
    device = parts.module(parts.projection).weight.device
    found = weights_of(_norm(parts), parts.width, device)
    if found is None:
        what = "the norm before their MLPs is of no known kind"
        raise InputError(Fault("transcoders of normed streams", what, REMEDY))
    return found


def _norm(parts: BlockParts) -> nn.Module:
    after = {parts.attention_norm, parts.mlp_norm}
    found = {name: one for name, one in parts.block.named_children() if name not in after}
    norm = next((found[name] for name in NORMS if name in found), None)
    if norm is None:
        what = "no norm is found before their MLPs, whose weights could be taken out"
        raise InputError(Fault("transcoders of normed streams", what, REMEDY))
    return norm
