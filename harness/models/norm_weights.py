"""What the weights of a norm do to what it has normed, whatever its family stores them as."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LARGE = 1024.0  # what is normed: what norms add to its variance is nothing beside it


@dataclass(frozen=True)
class NormWeights:
    """A norm puts out normed * `gain` + `bias`, each (width,) in float32; `centred` takes the mean away.

    What is normed has mean square 1, and mean 0 too where it is centred.
    """

    gain: Tensor
    bias: Tensor
    centred: bool


@torch.no_grad()
def weights_of(norm: nn.Module | None, width: int, device: torch.device) -> NormWeights | None:
    """The weights of a norm of an even `width`, on `device`; None where it is no norm of a known kind.

    Some store the gain less 1, so that it is asked and not read.
    """
    if norm is None or width % 2 or any(weight.is_meta for weight in norm.parameters()):
        return None
    exact = copy.deepcopy(norm).float()
    # Ones, and 1 and -1 in turn, have mean square 1; the second have mean 0. So what comes out of these is
    # the gain with their signs and the bias; of a norm that centres, nothing comes of the ones. A norm
    # gives the same of them and of their multiples.
    ones = torch.full((width,), LARGE, device=device)
    signs = 1.0 - 2.0 * (torch.arange(width, device=device) % 2)

    def of(values: Tensor) -> Tensor:
        return torch.as_tensor(exact(values)).float().to(device)

    up, down, same, small = map(of, (LARGE * signs, -LARGE * signs, ones, -signs))
    gain, bias = (up - down) / 2 * signs, (up + down) / 2
    near = 1e-3 * float(gain.abs().max())
    if near == 0 or not torch.allclose(small, down, atol=near):
        return None
    if torch.allclose(same, bias, atol=near):
        return NormWeights(gain, bias, centred=True)
    if torch.allclose(same - bias, gain, atol=near):
        return NormWeights(gain, bias, centred=False)
    return None
