"""The norm whose output an MLP reads: by how much its weights scale and shift what it has normed."""

import copy

import torch
from torch import Tensor, nn

from harness.errors import Fault, InputError
from harness.models.block_parts import BlockParts

# By the names that families give it, the first of a block counts. A norm of what attention puts out is
# another one, though it may have the name that others give this one. The last two are of parallel blocks,
# where attention and MLP read the same.
NORMS = (
    "pre_feedforward_layernorm", "feedforward_layernorm", "ffn_norm", "ln_2", "norm_2", "ln_mlp",
    "post_attention_layernorm", "input_layernorm", "ln_1",
)  # fmt: skip
LARGE = 1024.0  # what is normed: what norms add to its variance is nothing beside it
REMEDY = "name transcoders of what the MLP reads as it is"


@torch.no_grad()
def mlp_gain(parts: BlockParts) -> tuple[Tensor, Tensor | None]:
    """Gain (width,) and bias (width,) of the norm before a block's MLP, in float32; None where it adds none.

    What the MLP reads is normed * gain + bias, and what is normed has mean square 1, and mean 0 too where
    the norm takes the mean away. Raises `InputError` where no such norm is found.
    """
    norm = copy.deepcopy(_norm(parts)).float()
    weight = parts.module(parts.projection).weight
    # Signs by turns are left as they are by every norm, but for their size.
    signs = 1.0 - 2.0 * (torch.arange(parts.width, device=weight.device) % 2)
    up, down = norm(LARGE * signs), norm(-LARGE * signs)
    bias = (up + down) / 2
    return (up - down) / 2 * signs, bias if bias.any() else None


@torch.no_grad()
def is_centred(parts: BlockParts) -> bool:
    """Whether the norm before a block's MLP takes the mean away, as LayerNorm does and RMSNorm does not.

    Raises `InputError` where no such norm is found.
    """
    norm = copy.deepcopy(_norm(parts)).float()
    weight = parts.module(parts.projection).weight
    same = torch.full((parts.width,), LARGE, device=weight.device)
    return bool(torch.allclose(norm(same), norm(-same), atol=1e-2))


def _norm(parts: BlockParts) -> nn.Module:
    after = {parts.attention_norm, parts.mlp_norm}
    found = {name: one for name, one in parts.block.named_children() if name not in after}
    norm = next((found[name] for name in NORMS if name in found), None)
    if norm is None:
        what = "no norm is found before their MLPs, whose weights could be taken out"
        raise InputError(Fault("transcoders of normed streams", what, REMEDY))
    return norm
