"""Edits of the residual stream, or of what a block adds to it, in the delta form.

out = out + sum_i (v_i - f_i) * W_dec[i] at the edited positions, computed in float32 and cast once.
What the SAE does not reconstruct stays as it is, and an edit that changes nothing is bit-exact.

Every kind of edit is affine in the feature's value f: v - f = gain * f + shift.

=========== ================================================= ====== =================
kind        v, the value that is put in the place of f        gain   shift
=========== ================================================= ====== =================
zero        0                                                 -1     0
mean        the feature's mean over a reference set           -1     that mean
resample    its value in another prompt, position by position -1     that value
clamp       a given value                                     -1     that value
scale       a multiple of f                                   s - 1  0
steer       f and a given value                               0      that value
direction   none: see `directions`                            -1     0
no-op       f                                                 0      0
=========== ================================================= ====== =================
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.errors import CannotRun, Fault
from harness.sae import Sae, encode
from harness.sae.encoding import scale_written, with_written, written_part
from harness.sae.precise import double


@dataclass(frozen=True)
class Edit:
    """v - f = gain * f + shift, for every feature of `sae`, which holds just the edited ones.

    `gain` and `shift` broadcast against the feature values, (rows, tokens, features). With `along`,
    directions of length 1 that broadcast against what is written, (rows, tokens, width written), what is
    added at a token is as long as without it and points there; a row of zeros is none.
    """

    sae: Sae
    gain: float | Tensor
    shift: float | Tensor = 0.0
    along: Tensor | None = None

    def delta(self, held: Tensor, cut: Tensor | None = None) -> Tensor:
        """What is added to what the SAE writes, (rows, tokens, width written), in float32.

        `held` and `cut` are as in `coefficients`. A dictionary that normalises its input writes in units of
        that norm, and so is this.
        """
        delta = coefficients(self, held, cut) @ self.sae.w_dec
        if self.along is None:
            return delta
        turned = delta.norm(dim=-1, keepdim=True) * self.along
        return turned.where(self.along.any(-1, keepdim=True), delta)


def gain_and_shift(kind: str, value: float | None) -> tuple[float, float]:
    """The affine form of a kind of edit; raises `KeyError` for an unknown one.

    `value` is the mean, the clamped value, the factor or what is added; a resampled feature's shift
    differs by position and is added where it is known.
    """
    number = 0.0 if value is None else value
    return {
        "zero": (-1.0, 0.0),
        "mean": (-1.0, number),
        "resample": (-1.0, 0.0),
        "clamp": (-1.0, number),
        "scale": (number - 1.0, 0.0),
        "steer": (0.0, number),
        "direction": (-1.0, 0.0),
        "no-op": (0.0, 0.0),
    }[kind]


def coefficients(edit: Edit, held: Tensor, cut: Tensor | None = None) -> Tensor:
    """v - f, how much of each decoder row is added: (rows, tokens, features), in float32.

    `held` is what the SAE's site holds, (rows, tokens, held width) in any float dtype; `cut` is a TopK
    dictionary's `cutoff` of it, where that is known.
    """
    return edit.gain * encode(edit.sae, held, cut) + edit.shift


def apply(edit: Edit, held: Tensor, positions: Tensor, cut: Tensor | None = None) -> Tensor:
    """The edited residual stream, or whatever else the SAE's site holds.

    `held` is (rows, tokens, held width) in any float dtype, which is kept; `positions` is (rows, tokens)
    bool; `cut` as in `coefficients`. Everything outside of them stays bit for bit as it is, and so does
    what a transcoder only reads. A dictionary that normalises its input writes in units of that norm.
    """
    delta = edit.delta(held, cut)
    scale = scale_written(edit.sae, held)
    written = written_part(edit.sae, held)
    changed = written.float() + (delta if scale is None else delta * scale)
    inside = positions.to(held.device)[..., None]
    return with_written(edit.sae, held, changed.to(held.dtype).where(inside, written))


def directions(sae: Sae) -> Sae:
    """The span of the features' decoder rows as a linear dictionary, for direction ablation.

    Its features are the coordinates x . q_i along an orthonormal basis, so that zeroing them all
    projects the span out: x - sum_i (x . q_i) q_i (Arditi et al. 2024, arXiv:2406.11717). Of decoder
    rows (features, width) it has at most as many: those that depend on the others add no basis vector.
    Raises `CannotRun` where the dictionary does not read what it writes as it is.
    """
    if sae.norm is not None or sae.site == "transcoder":
        reads = "another place than it writes" if sae.norm is None else "a normalised stream"
        what = f"its dictionary reads {reads}, in which a direction is another one"
        raise CannotRun(Fault("kind: direction", what, "use `kind: zero`"))
    left, sizes, basis = torch.linalg.svd(double(sae.w_dec), full_matrices=False)
    del left
    basis = basis[sizes > sizes.max() * 1e-6].float().to(sae.w_dec.device)
    everywhere = torch.full_like(basis[:, 0], -torch.inf)
    zeros = torch.zeros_like(basis[:, 0])
    return replace(sae, w_enc=basis.T, b_enc=zeros, w_dec=basis, threshold=everywhere)


def rotated(sae: Sae, seed: int) -> Sae:
    """The features with their decoder rows turned at random, all by one rotation of the residual stream.

    Whatever is added along them is as long as along the features themselves, at every token, and their
    angles to each other stay: only where they point is another matter. The rotation is drawn by `seed` (at
    least 0), uniformly over the subspaces that the rows may span (Stewart 1980), on the processor.
    """
    rows = double(sae.w_dec).cpu()
    left, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    del basis
    drawn = torch.randn(
        rows.shape[1], len(sizes), generator=torch.Generator().manual_seed(seed), dtype=rows.dtype
    )
    frame, upper = torch.linalg.qr(drawn)
    frame = frame * upper.diagonal().sign()  # without this no uniform draw
    turned = ((left * sizes) @ frame.T).float().to(sae.w_dec.device)
    return replace(sae, w_dec=turned)
