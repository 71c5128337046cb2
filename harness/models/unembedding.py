"""What a direction of the residual stream writes to the logits by itself: the "logit lens".

logits = W_U (w * d) for a direction d, the final norm's weight w and the unembedding W_U (nostalgebraist
2020). What the later blocks make of it is left out, and so are the norm's division by the stream's root
mean square, which every token shares, and a softcap, which keeps their order.
"""

from typing import Any

import torch
from torch import Tensor

TOKENS = 2**14  # of the vocabulary that are cast to float32 at a time


@torch.no_grad()
def direct_logits(network: Any, directions: Tensor) -> Tensor | None:
    """Logits (n, vocabulary) of directions (n, width), in float32 on the processor.

    None where the network has no unembedding or final RMSNorm that can be read: weights in an integer
    format, or not in memory, and norms of another kind.
    """
    weight = getattr(network.get_output_embeddings(), "weight", None)
    width = directions.shape[-1]
    if weight is None or weight.is_meta or not weight.is_floating_point():
        return None
    if weight.shape[-1] != width:
        return None
    gain = _gain(getattr(network.get_decoder(), "norm", None), width, weight.device)
    if gain is None:
        return None
    scaled = directions.to(weight.device, torch.float32) * gain
    parts = [(scaled @ part.float().T).cpu() for part in weight.split(TOKENS)]
    return torch.cat(parts, dim=-1)


def _gain(norm: Any, width: int, device: torch.device) -> Tensor | None:
    """The weight of an RMSNorm, (width,), as it multiplies: some store it less 1."""
    if norm is None or any(weight.is_meta for weight in norm.parameters()):
        return None
    ones = torch.ones(width, device=device)
    # The root mean square of ones is 1: what comes out is the weight, and its negative of -1.
    gain = norm(ones).float().to(device)
    odd = torch.equal(norm(-ones).float().to(device), -gain)
    return gain if odd and bool(gain.any()) else None
