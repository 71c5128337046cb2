"""Random dictionaries of every kind, for any site of the small random models."""

from functools import cache

import torch

from harness.sae import Sae

WIDTH = 32
KINDS = {
    "topk": {"top_k": 9},
    "layer_norm": {"norm": "layer_norm"},
    "constant_norm_rescale": {"norm": "constant_norm_rescale"},
    "topk of a normed stream": {"top_k": 12, "norm": "layer_norm"},
}


@cache
def dictionary(layer, site, kind):
    generator = torch.Generator().manual_seed(layer)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    decoder = torch.nn.functional.normalize(normal(64, WIDTH), dim=1)
    skip = normal(WIDTH, WIDTH) if site == "transcoder" else None
    return Sae(
        decoder.T + 0.2 * normal(WIDTH, 64), 0.3 * normal(64), decoder, normal(WIDTH),
        0.1 * normal(64).abs() * (kind != "topk"), skip=skip, site=site, **KINDS[kind],
    )  # fmt: skip
