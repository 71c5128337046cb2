"""Edits of the residual stream, in the delta form.

out = out + sum_i (v_i - f_i) * W_dec[i] at the edited positions, computed in float32 and cast once.
What the SAE does not reconstruct stays as it is, and an edit that changes nothing is bit-exact.
"""

from torch import Tensor

from harness.sae.jumprelu import Sae, encode


def zero(sae: Sae, residual: Tensor, positions: Tensor) -> Tensor:
    """The residual stream with every feature of `sae` set to 0 at `positions`.

    `sae` holds just the edited features (see `Sae.only`); `residual` is (rows, tokens, width) in
    any float dtype, which is kept; `positions` is (rows, tokens) bool.
    """
    return move(sae, residual, positions, 0.0)


def move(sae: Sae, residual: Tensor, positions: Tensor, value: float | Tensor | None) -> Tensor:
    """The residual stream with every feature of `sae` set to `value`, or left alone where None.

    None computes the same delta, which is then exactly zero: the certified no-op.
    """
    values = encode(sae, residual)
    wanted = values if value is None else value
    moved = (residual.float() + (wanted - values) @ sae.w_dec).to(residual.dtype)
    return moved.where(positions[..., None], residual)
