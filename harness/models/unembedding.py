"""What a direction of the residual stream writes to the logits by itself: the "logit lens".

logits = W_U (w * d) for a direction d, the final norm's weight w and the unembedding W_U (nostalgebraist
2020); a LayerNorm takes the mean of d away first. What the later blocks make of it is left out, and so are
the norm's division by the stream's root mean square, which every token shares, and a softcap, which keeps
their order.
"""

from typing import Any

import torch
from torch import Tensor, nn

from harness.models.block_parts import BlockParts
from harness.models.norm_weights import weights_of

TOKENS = 2**14  # of the vocabulary that are cast to float32 at a time


@torch.no_grad()
def added_by_heads(parts: BlockParts, directions: Tensor) -> Tensor:
    """What directions (n, width of all heads) of the heads' outputs add to the stream, (n, width).

    By the attention's last matrix and the weight of the norm after it, if it has one, whose division is
    left out like the final norm's.
    """
    projection = parts.module(parts.projection)
    weight = next(projection.parameters())
    directions = directions.to(weight.device, weight.dtype)
    added = (projection(directions) - projection(torch.zeros_like(directions[:1]))).float()
    if parts.attention_norm is None:
        return added
    read = weights_of(parts.module(parts.attention_norm), added.shape[-1], added.device)
    return added if read is None else added * read.gain


@torch.no_grad()
def direct_logits(network: Any, norm: nn.Module | None, directions: Tensor) -> Tensor | None:
    """Logits (n, vocabulary) of directions (n, width), in float32 on the processor.

    `norm` is the final one. None where the network has no unembedding or norm that can be read: weights
    in an integer format, or not in memory, and norms of another kind.
    """
    weight = getattr(network.get_output_embeddings(), "weight", None)
    width = directions.shape[-1]
    if weight is None or weight.is_meta or not weight.is_floating_point():
        return None
    if weight.shape[-1] != width:
        return None
    read = weights_of(norm, width, weight.device)
    if read is None:
        return None
    directions = directions.to(weight.device, torch.float32)
    if read.centred:
        directions = directions - directions.mean(-1, keepdim=True)
    parts = [((directions * read.gain) @ part.float().T).cpu() for part in weight.split(TOKENS)]
    return torch.cat(parts, dim=-1)
