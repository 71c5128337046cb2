"""What a sparse dictionary computes: JumpReLU, ReLU and TopK, of the raw or of a normalised input.

JumpReLU: Rajamanoharan et al. 2024, arXiv:2407.14435; GemmaScope, arXiv:2408.05147. TopK: Gao et al. 2024,
arXiv:2406.04093. Transcoders: Dunefsky et al. 2024, arXiv:2406.11944; their skip connection: Paulo et al.
2025, arXiv:2501.18823.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from harness.specs.sites import Site

# What is done to each position's input, and undone after the decoder, as SAELens does it: its mean taken
# away and divided by its standard deviation, or scaled to a length of the square root of its width.
Norm = Literal["layer_norm", "constant_norm_rescale"]
EPSILON = 1e-5  # is added to that standard deviation
ENCODED = 2**26  # values of features that are held to find the largest of each position


@dataclass(frozen=True)
class Sae:
    """One sparse dictionary, in float32: an SAE, or a transcoder, which reads one thing and writes another.

    Shapes: `w_enc` (width, n_features), `w_dec` (n_features, width written), `b_enc` and `threshold`
    (n_features,), `b_dec` (width written,), `skip` (width, width written). One that is a plain `relu` by
    design has thresholds of 0. `l0` is how many features its publisher says are active at a position,
    where that is known.

    With `top_k` a feature is active only where it is among so many largest of its position, of all the
    features of the `whole` dictionary where this one holds a part of it. Of features that tie there all are
    active, or none where they differ by rounding. `site` is what it reads. A transcoder `without_gain`
    expects what the MLP reads before the norm's weights are applied, see `with_gain`.
    """

    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor
    threshold: Tensor
    relu: bool = False
    l0: float | None = None
    top_k: int | None = None
    norm: Norm | None = None
    skip: Tensor | None = None
    whole: "Sae | None" = None
    site: Site = "resid_post"
    without_gain: bool = False

    @property
    def width(self) -> int:
        """How many dimensions its input has."""
        return self.w_enc.shape[-2]

    @property
    def features(self) -> int:
        """How many features there are."""
        return self.w_enc.shape[-1]

    @property
    def held_width(self) -> int:
        """How many dimensions its site's value has: of a transcoder its input and then its output."""
        written = self.w_dec.shape[-1] if self.site == "transcoder" else 0
        return self.width + written

    def to(self, device: torch.device | str) -> "Sae":
        """The same on another device."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in own.items() if isinstance(value, Tensor | Sae)
        }
        return replace(self, **moved)

    def only(self, features: Tensor) -> "Sae":
        """The SAE of a subset of features, (k,) indices; its decoder bias is unchanged.

        Of (n_rows, k) indices, an SAE for each row: `encode` then takes a residual stream (n_rows,
        n_tokens, width), and `decode` values (n_rows, n_tokens, k).
        """

        def inner(vector: Tensor) -> Tensor:
            return vector[features][:, None] if features.ndim > 1 else vector[features]

        return replace(
            self,
            w_enc=self.w_enc.T[features].mT,
            b_enc=inner(self.b_enc),
            w_dec=self.w_dec[features],
            threshold=inner(self.threshold),
            l0=None,
            whole=None if self.top_k is None else self.whole or self,
        )


def encode(sae: Sae, held: Tensor, cut: Tensor | None = None) -> Tensor:
    """Feature values (..., n_features) of what a site holds (..., held width), in float32.

    f = pre * (pre > threshold), pre = x @ W_enc + b_enc: strictly above, and without subtracting the
    decoder bias from the input. x may be of any float dtype; it is cast first, and normalised where the
    dictionary asks for that. Of a TopK dictionary f is 0 as well where pre is below `cut` (..., 1), which
    is `cutoff` of the same input where it is not given.
    """
    before = _before(sae, held)
    values = before * (before > sae.threshold)
    if sae.top_k is None:
        return values
    if cut is None:
        cut = kth(before, sae.top_k) if sae.whole is None else cutoff(sae, held)
    assert cut is not None
    # What has no threshold at all is a direction, and no feature of the dictionary.
    return values * ((before >= cut) | (sae.threshold == -torch.inf))


def cutoff(sae: Sae, held: Tensor) -> Tensor | None:
    """The value (..., 1) from which a TopK dictionary's features are active; None of any other one.

    It lies in the middle between the k-th largest value before the threshold and the next one, so that
    products of other shapes, whose last bits differ, have the same features active.
    """
    if sae.top_k is None:
        return None
    whole = sae.whole or sae
    rows = held.reshape(-1, held.shape[-1])
    parts = rows.split(max(1, ENCODED // whole.features))
    found = torch.cat([kth(_before(whole, part), sae.top_k) for part in parts])
    return found.reshape(*held.shape[:-1], 1)


def decode(
    sae: Sae,
    values: Tensor,
    held: Tensor | None = None,
    product: Callable[[Tensor, Tensor], Tensor] = torch.matmul,
) -> Tensor:
    """The reconstruction (..., width written) of feature values (..., n_features), in float32.

    What a site `held` (..., held width) is needed where the dictionary normalises or skips; raises
    `ValueError` without it. `product` is that of the values and the decoder's rows.
    """
    out = product(values, sae.w_dec) + sae.b_dec
    if sae.norm is None and sae.skip is None:
        return out
    if held is None:
        raise ValueError(
            "what was encoded is needed: the dictionary normalises it, or passes it on"
        )
    if sae.norm is not None:
        shift, scale, _ = moments(sae.norm, read_part(sae, held).float())
        out = out * scale + shift
    return out if sae.skip is None else out + read_part(sae, held).float() @ sae.skip


def scale_written(sae: Sae, held: Tensor) -> Tensor | None:
    """By what (..., 1) a unit of a feature's value is multiplied beside its decoder row; None for 1."""
    return None if sae.norm is None else moments(sae.norm, read_part(sae, held).float())[1]


def read_part(sae: Sae, held: Tensor) -> Tensor:
    """What the dictionary reads (..., width) of what its site holds (..., held width)."""
    return held[..., : sae.width]


def written_part(sae: Sae, held: Tensor) -> Tensor:
    """What it reconstructs, and what its edits change, (..., width written)."""
    return held[..., -sae.w_dec.shape[-1] :]


def with_written(sae: Sae, held: Tensor, written: Tensor) -> Tensor:
    """What the site holds with another part that is written, in its dtype."""
    written = written.to(held.dtype)
    if sae.site != "transcoder":
        return written
    return torch.cat([read_part(sae, held), written], -1)


def with_gain(sae: Sae, gain: Tensor, bias: Tensor | None = None) -> Sae:
    """A transcoder of normed streams as one of what the MLP reads: the norm's output.

    That is normed * `gain` + `bias`, each (width,), so the rows of the encoder and of the skip connection
    are divided by the gain: exact, summed in float64. Raises `ValueError` where a gain is 0. Others are
    returned as they are.
    """
    if not sae.without_gain:
        return sae
    if not gain.all():
        raise ValueError("a gain of the norm is 0")
    encoder, offset = _without(gain, bias, sae.w_enc, sae.b_enc)
    moved = replace(sae, w_enc=encoder, b_enc=offset, without_gain=False)
    if sae.skip is None:
        return moved
    skip, out = _without(gain, bias, sae.skip, sae.b_dec)
    return replace(moved, skip=skip, b_dec=out)


def _without(
    gain: Tensor, bias: Tensor | None, matrix: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor]:
    """A map of normed values as one of these times a gain and with a bias: its matrix and its offset."""
    rows = matrix.double() / gain.double()[:, None]
    moved = 0.0 if bias is None else bias.double() @ rows
    return rows.float(), (offset.double() - moved).float()


def _before(sae: Sae, held: Tensor) -> Tensor:
    """What the encoder makes of what a site holds, before its threshold: (..., n_features)."""
    x = read_part(sae, held).float()
    if sae.norm is not None:
        shift, _, divisor = moments(sae.norm, x)
        x = (x - shift) / divisor
    return x @ sae.w_enc + sae.b_enc


def moments(norm: Norm, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of inputs (..., width): what is subtracted, by what the output is scaled, and the input divided."""
    if norm == "layer_norm":
        spread = x.std(-1, keepdim=True)
        return x.mean(-1, keepdim=True), spread, spread + EPSILON
    length = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
    return torch.zeros_like(length), length, length


def kth(before: Tensor, k: int) -> Tensor:
    """The middle (..., 1) between the k-th largest of (..., n_features) and the next."""
    if k >= before.shape[-1]:
        return torch.full_like(before[..., :1], -torch.inf)
    return before.topk(k + 1, dim=-1).values[..., -2:].mean(-1, keepdim=True)
