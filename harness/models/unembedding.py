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
    read = parts.attention_norm and _read(
        parts.module(parts.attention_norm), added.shape[-1], added.device
    )
    return added * read[0] if read else added


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
    read = _read(norm, width, weight.device)
    if read is None:
        return None
    gain, centred = read
    directions = directions.to(weight.device, torch.float32)
    if centred:
        directions = directions - directions.mean(-1, keepdim=True)
    parts = [((directions * gain) @ part.float().T).cpu() for part in weight.split(TOKENS)]
    return torch.cat(parts, dim=-1)


def _read(norm: nn.Module | None, width: int, device: torch.device) -> tuple[Tensor, bool] | None:
    """The weight of a norm, (width,), as it multiplies (some store it less 1), and whether it centres."""
    if norm is None or width % 2 or any(weight.is_meta for weight in norm.parameters()):
        return None
    # The root mean square of ones is 1, and so is that of 1 and -1 in turn, whose mean is 0: what comes
    # out is the weight with their signs, after what is added; of what centres, nothing of the ones. A
    # norm gives the same of them and of their multiples.
    ones = torch.ones(width, device=device)
    signs = ones.clone()
    signs[1::2] = -1
    added = norm(torch.zeros_like(ones)).float().to(device)
    gain = (norm(signs).float().to(device) - added) * signs
    of_ones = norm(ones).float().to(device) - added
    twice = (norm(-2 * signs).float().to(device) - added) * signs
    near = 1e-3 * float(gain.abs().max())
    if near == 0 or not torch.allclose(twice, -gain, atol=near):
        return None
    if torch.allclose(of_ones, torch.zeros_like(gain), atol=near):
        return gain, True
    return (gain, False) if torch.allclose(of_ones, gain, atol=near) else None
