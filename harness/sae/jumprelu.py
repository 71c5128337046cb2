"""JumpReLU sparse autoencoders (Rajamanoharan et al. 2024; GemmaScope, arXiv:2408.05147)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sae:
    """One SAE of the residual stream, in float32.

    Shapes: `w_enc` (width, features), `w_dec` (features, width), `b_enc` and `threshold`
    (features,), `b_dec` (width,). One that is a plain `relu` by design has thresholds of 0.
    """

    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor
    threshold: Tensor
    relu: bool = False

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return self.w_enc.shape[0]

    @property
    def features(self) -> int:
        """How many there are."""
        return self.w_enc.shape[1]

    def to(self, device: torch.device | str) -> "Sae":
        """The same on another device."""
        return Sae(
            self.w_enc.to(device),
            self.b_enc.to(device),
            self.w_dec.to(device),
            self.b_dec.to(device),
            self.threshold.to(device),
            self.relu,
        )

    def only(self, features: Tensor) -> "Sae":
        """The SAE of a subset of features, `(k,)` indices; its decoder bias is unchanged.

        Of `(rows, k)` indices, an SAE for each row: `encode` and `decode` then take a residual
        stream `(rows, tokens, width)`.
        """

        def inner(vector: Tensor) -> Tensor:
            return vector[features][:, None] if features.ndim > 1 else vector[features]

        return Sae(
            self.w_enc.T[features].mT,
            inner(self.b_enc),
            self.w_dec[features],
            self.b_dec,
            inner(self.threshold),
            self.relu,
        )


def encode(sae: Sae, residual: Tensor) -> Tensor:
    """Feature values `(..., features)` of a residual stream `(..., width)`, in float32.

    f = pre * (pre > threshold), pre = x @ W_enc + b_enc: strictly above, and without subtracting
    the decoder bias from the input.
    """
    before = residual.float() @ sae.w_enc + sae.b_enc
    return before * (before > sae.threshold)


def decode(sae: Sae, values: Tensor) -> Tensor:
    """The reconstruction `(..., width)` of feature values `(..., features)`."""
    return values @ sae.w_dec + sae.b_dec
