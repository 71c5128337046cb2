"""JumpReLU sparse autoencoders (Rajamanoharan et al. 2024; GemmaScope, arXiv:2408.05147)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sae:
    """One SAE of the residual stream, in float32.

    Shapes: `w_enc` (width, n_features), `w_dec` (n_features, width), `b_enc` and `threshold`
    (n_features,), `b_dec` (width,). One that is a plain `relu` by design has thresholds of 0. `l0` is how
    many features its publisher says are active at a position, where that is known.
    """

    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor
    threshold: Tensor
    relu: bool = False
    l0: float | None = None

    @property
    def width(self) -> int:
        """How many dimensions the residual stream has."""
        return self.w_enc.shape[0]

    @property
    def features(self) -> int:
        """How many features there are."""
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
            self.l0,
        )

    def only(self, features: Tensor) -> "Sae":
        """The SAE of a subset of features, (k,) indices; its decoder bias is unchanged.

        Of (n_rows, k) indices, an SAE for each row: `encode` then takes a residual stream (n_rows,
        n_tokens, width), and `decode` values (n_rows, n_tokens, k).
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
    """Feature values (..., n_features) of a residual stream (..., width), in float32.

    f = pre * (pre > threshold), pre = x @ W_enc + b_enc: strictly above, and without subtracting
    the decoder bias from the input (Rajamanoharan et al. 2024, arXiv:2407.14435). The stream may be of
    any float dtype; it is cast first.
    """
    before = residual.float() @ sae.w_enc + sae.b_enc
    return before * (before > sae.threshold)


def decode(sae: Sae, values: Tensor) -> Tensor:
    """The reconstruction (..., width) of feature values (..., n_features), in float32."""
    return values @ sae.w_dec + sae.b_dec
