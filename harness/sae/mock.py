"""Random SAEs: they test a pipeline, and nothing that they show is evidence of anything."""

import torch
from torch import Tensor

from harness.sae.encoding import Sae


def orthogonal(width: int, seed: int) -> Sae:
    """As many orthonormal directions as the stream is wide; a feature is its positive part.

    `width` features of a residual stream of `width` dimensions, of one `seed` one SAE.

    Encoder and decoder are the same directions, without bias or threshold, so removing a feature of
    value f moves the stream by exactly -f along its direction, and nothing is left unexplained but
    the negative parts.
    """
    basis, upper = torch.linalg.qr(_normal(seed, width, width))
    # The signs that make the basis uniform over all of them (Mezzadri 2007, arXiv:math-ph/0609050).
    basis = basis * upper.diagonal().sign()
    zeros = torch.zeros(width)
    return Sae(basis, zeros, basis.T.contiguous(), zeros, zeros, relu=True)


def jumprelu(width: int, features: int, seed: int) -> Sae:
    """A JumpReLU SAE of `features` random directions, usually more than the stream's `width`.

    Decoder rows of length 1, thresholds above 0, and an error term. Of one `seed` one SAE.
    """
    decoder = _normal(seed, features, width)
    decoder = decoder / decoder.norm(dim=1, keepdim=True)
    return Sae(
        w_enc=decoder.T + 0.2 / width**0.5 * _normal(seed + 1, width, features),
        b_enc=0.3 * _normal(seed + 2, features),
        w_dec=decoder,
        b_dec=_normal(seed + 3, width) / width**0.5,
        threshold=0.1 + _normal(seed + 4, features).abs(),
    )


def mock(kind: str, width: int, features: int, layer: int, seed: int = 0) -> Sae:
    """A target's random SAE of one layer: the same in every run with the same seed.

    `kind` is `orthogonal`, which has as many `features` as the stream is wide, or `jumprelu`.
    """
    seed = 1_000_000 * seed + 1_000 * layer
    return orthogonal(width, seed) if kind == "orthogonal" else jumprelu(width, features, seed)


def _normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float32, without touching torch's global generator."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
