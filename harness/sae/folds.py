"""What published encoders do beside JumpReLU, put into their weights: exact, and done once.

Each takes and returns arrays by name, as `Step` says, and none changes what is given.
"""

from math import sqrt

import torch
from torch import Tensor

from harness.sae.layout import Arrays, Step

_MOST = torch.finfo(torch.float32).max
_AT_ONCE = 1 << 20  # values of a matrix that are held in float64


def without_threshold(arrays: Arrays) -> Arrays:
    """ReLU: active where it is above 0."""
    return arrays | {"threshold": torch.zeros_like(arrays["b_enc"])}


def clamped(arrays: Arrays) -> Arrays:
    """ReLU(pre * (pre > jump)): a jump below 0 is one at 0."""
    rest = {key: value for key, value in arrays.items() if key != "jump"}
    return rest | {"threshold": arrays["jump"].clamp(min=0)}


def one_threshold(arrays: Arrays) -> Arrays:
    """The same threshold for every feature."""
    return arrays | {"threshold": arrays["threshold"].expand_as(arrays["b_enc"]).clone()}


def exponential(arrays: Arrays) -> Arrays:
    """Thresholds that are stored as their logarithms."""
    rest = {key: value for key, value in arrays.items() if key != "log_threshold"}
    return rest | {"threshold": arrays["log_threshold"].double().exp().float()}


def gated(arrays: Arrays) -> Arrays:
    """A gated SAE (Rajamanoharan et al. 2024, arXiv:2404.16014) as the JumpReLU it is.

    With u = x @ W_enc it is 1[u + b_gate > 0] * ReLU(e^r u + b_mag). As e^r > 0, the gate opens where
    pre = e^r u + b_mag is above b_mag - e^r b_gate, and ReLU asks for pre > 0.
    """
    gain, magnitude, gate = (arrays[key].double() for key in ("r_mag", "b_mag", "b_gate"))
    gain = gain.exp()
    return {
        "W_enc": arrays["W_enc"] * gain.float(),
        "b_enc": arrays["b_mag"],
        "W_dec": arrays["W_dec"],
        "b_dec": arrays["b_dec"],
        "threshold": (magnitude - gain * gate).clamp(min=0).float(),
    }


def subtracted(arrays: Arrays) -> Arrays:
    """The decoder bias, taken from the input, goes into the encoder's bias.

    (x - b_dec) @ W + b = x @ W + (b - b_dec @ W), summed in float64.
    """
    moved = _product(arrays["b_dec"], arrays["W_enc"])
    return arrays | {"b_enc": (arrays["b_enc"].double() - moved).float()}


def _product(vector: Tensor, matrix: Tensor) -> Tensor:
    """vector @ matrix in float64, without a second matrix of that size: in parts as it is stored."""
    wide = vector.double()
    if matrix.stride(0) == 1:
        parts = matrix.T.split(max(1, _AT_ONCE // len(wide)))
        return torch.cat([part.double() @ wide for part in parts])
    rows = max(1, _AT_ONCE // matrix.shape[1])
    total = torch.zeros(matrix.shape[1], dtype=torch.float64)
    for some, part in zip(wide.split(rows), matrix.split(rows), strict=True):
        total += some @ part.double()
    return total


def by_decoder_length(arrays: Arrays) -> Arrays:
    """Thresholds of pre * |row of W_dec|: the same as these thresholds over that length, of pre.

    A feature without a direction is active nowhere.
    """
    lengths = torch.linalg.vector_norm(arrays["W_dec"], dim=1, dtype=torch.float64)
    threshold = (arrays["threshold"].double() / lengths).nan_to_num(nan=_MOST, posinf=_MOST)
    return arrays | {"threshold": threshold.clamp(max=_MOST).float()}


def by_decoder_row(arrays: Arrays) -> Arrays:
    """Values that are multiplied by the length of their decoder row, before the largest are chosen.

    So the encoder takes that length, and the decoder's rows are divided by it; one of length 0 writes
    nothing, and has a value of 0.
    """
    lengths = torch.linalg.vector_norm(arrays["W_dec"], dim=1, dtype=torch.float64)
    divisor = torch.where(lengths > 0, lengths, 1.0)
    return arrays | {
        "W_enc": (arrays["W_enc"].double() * lengths).float(),
        "b_enc": (arrays["b_enc"].double() * lengths).float(),
        "W_dec": (arrays["W_dec"].double() / divisor[:, None]).float(),
    }


def rescaled(said: tuple[float, float] | None) -> Step:
    """An SAE of streams scaled to a mean norm of sqrt(width), as one of streams as they are.

    Its values are f(s x), s = sqrt(width) / mean norm, so W_enc takes the factor s_in; what it writes is
    divided by s_out, so W_dec and b_dec are. Biases and thresholds of values stay, for the values do.
    `said` are the mean norms in and out, or None where the file has them.
    """

    def step(arrays: Arrays) -> Arrays:
        norms = said or (float(arrays["norm_in"]), float(arrays["norm_out"]))
        into, out = (sqrt(arrays["W_enc"].shape[0]) / norm for norm in norms)
        return arrays | {
            "W_enc": arrays["W_enc"] * into,
            "W_dec": arrays["W_dec"] / out,
            "b_dec": arrays["b_dec"] / out,
        }

    return step


def constant(threshold: float) -> Step:
    """The same threshold for every feature, where the configuration has it."""

    def step(arrays: Arrays) -> Arrays:
        return arrays | {"threshold": torch.full_like(arrays["b_enc"], threshold)}

    return step
