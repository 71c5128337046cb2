"""Other ways to read the same SAE: every usual mistake of storing or reading one, undone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.sae.encoding import decode
from harness.sae.precise import double, on_precise
from harness.sae.trial import FACTORS, Fit, Trial, fit_of

# Shares of the cost that a reading may leave to be believed: of one that has nothing to adjust, and of
# one that has a factor or a mean that is looked for.
FIXED, ADJUSTED = 0.85, 2 / 3
NO_FAULT = 1.4  # a factor nearer to 1 is no mistake: sparse training shrinks values
HUGE = 5  # times the median norm: positions such as BOS, on which no SAE is trained
SHARP = 1 / 3  # FVU, and share of the cost, that so many adjustments may leave
MOST_ROWS, RIDGE = 512, 0.05
PART = 1024  # features whose encoder is held against every decoder row at once


@dataclass(frozen=True)
class Reading:
    """Another way to read the weights: of what `kind`, what it would mean, and how it fits.

    It may leave the share `leaves` of the cost to be believed.
    """

    kind: str
    cause: str
    fit: Fit
    leaves: float = FIXED


def other_readings(trial: Trial, streams: Mapping[int, Tensor], layer: int) -> Iterator[Reading]:
    """All of them. `streams` are samples of the stream after every block, `trial` is on `layer`'s."""
    for block, other in streams.items():
        if block != layer:
            cause = f"wrong layer: it fits the output of block {block}, not of block {layer}"
            yield Reading("layer", cause, Trial(trial.sae, other.float()).own)
    for readings in (_biases, _norms, _factors, _thresholds, _decoders, _order):
        yield from readings(trial)


def _biases(trial: Trial) -> Iterator[Reading]:
    sae, inner = trial.sae, trial.inner
    # Libraries differ in whether the decoder's bias is subtracted from the input before encoding
    # (SAELens' `apply_b_dec_to_input`), and the weights do not tell.
    if sae.b_dec.any():
        cause = "decoder bias: this SAE expects it to be subtracted from its input, and it is not"
        yield Reading("bias in", cause, trial.fit(inner + sae.b_enc - trial.moved))
        cause = "decoder bias: it is subtracted from the input, and this SAE does not expect that"
        yield Reading("bias in", cause, trial.fit(inner + sae.b_enc + trial.moved))
    if sae.b_enc.any():
        cause = "encoder bias: it has the wrong sign"
        yield Reading("encoder bias", cause, trial.fit(inner - sae.b_enc))
    elif sae.b_dec.any():
        # It cannot be had again; but mostly it takes the stream's mean away, and keeps values down.
        cause = "encoder bias: it is all 0, as where it was lost"
        centred = inner - trial.moved
        for _, fit in trial.with_thresholds(centred):
            yield Reading("encoder bias", cause, fit)
    lost = not sae.b_dec.any()
    what = "is all 0, as where it was lost" if lost else "is off by a constant"
    shift = (trial.stream - decode(sae, trial.values)).mean(0)
    fit = trial.fit(inner + sae.b_enc, shift=shift)
    yield Reading("bias out", f"decoder bias: it {what}", fit, FIXED if lost else ADJUSTED)


def _norms(trial: Trial) -> Iterator[Reading]:
    """What is done to each token's stream before the encoder, and undone after the decoder."""
    sae, stream = trial.sae, trial.stream
    mean = stream.mean(1, keepdim=True)
    spread = stream.std(1, correction=0, keepdim=True).clamp(min=1e-12)
    norm = stream.norm(dim=1, keepdim=True).clamp(min=1e-12)
    for kind, what, shift, scale in (
        ("layer norm", "normalised to mean 0 and variance 1 (layer_norm)", mean, spread),
        ("norm", "divided by its root mean square", 0 * norm, norm / stream.shape[1] ** 0.5),
        ("norm", "divided by its length", 0 * norm, norm),
        ("centre", "without its mean over the dimensions", mean, torch.ones_like(mean)),
    ):
        before = (trial.inner - shift * sae.w_enc.sum(0)) / scale + sae.b_enc
        cause = f"input: it expects each token's stream {what}, and it is not"
        yield Reading(kind, cause, trial.fit(before, scale, shift))


def _factors(trial: Trial) -> Iterator[Reading]:
    """A factor of the stream, of the encoder, or of the decoder that is missing or there twice."""
    sae, stream = trial.sae, trial.stream
    # Streams are often scaled to a mean norm of the square root of the width (SAELens), or to 1.
    norm = max(float(stream.norm(dim=1).mean()), 1e-12)
    usual = stream.shape[1] ** 0.5 / norm
    for factor in (*FACTORS, usual, 1 / usual, 1 / norm, norm):
        if max(factor, 1 / factor) >= NO_FAULT:
            values, outer = trial.decoded(factor * trial.inner + sae.b_enc)
            cause = f"scale: it expects a stream {factor:.2g} times as large as this model's"
            yield Reading("scale", cause, fit_of(stream, values, outer / factor), ADJUSTED)
            cause = f"encoder: its weights are too {_amount(1 / factor)}"
            yield Reading("encoder", cause, fit_of(stream, values, outer), ADJUSTED)
    cause = "encoder: its weights have the wrong sign"
    yield Reading("encoder", cause, trial.fit(sae.b_enc - trial.inner))
    before = trial.inner + sae.b_enc
    for what, fixed in (
        ("its weights are", sae.b_dec),
        ("its weights and bias are", 0 * sae.b_dec),
    ):
        moving = double(decode(sae, trial.values) - fixed)
        # Least squares.
        factor = float((moving * double(stream - fixed)).sum()) / (
            float(moving.square().sum()) or 1.0
        )
        if abs(factor) > 1e-3 and (factor < 0 or max(factor, 1 / factor) >= NO_FAULT):
            cause = f"decoder: {what} too {_amount(1 / factor)}"
            yield Reading(
                "decoder", cause, trial.fit(before, factor, (1 - factor) * fixed), ADJUSTED
            )


def _thresholds(trial: Trial) -> Iterator[Reading]:
    """Thresholds of another scale."""
    sae = trial.sae
    if not sae.threshold.any():
        return
    for factor, fit in trial.with_thresholds(trial.inner + sae.b_enc):
        if max(factor, 1 / factor) >= NO_FAULT:
            cause = f"thresholds: they are too {_amount(1 / factor, 'high', 'low')}"
            yield Reading("thresholds", cause, fit)


def _decoders(trial: Trial) -> Iterator[Reading]:
    """Lengths of decoder rows; and matrices as wide as they are long, whose shapes do not tell."""
    sae, stream = trial.sae, trial.stream
    length = sae.w_dec.norm(dim=1, keepdim=True)
    low, high = (float(end) for end in length.aminmax())
    if high > NO_FAULT * low:
        outer = trial.values @ (sae.w_dec / length.clamp(min=1e-12)) + sae.b_dec
        cause = f"decoder: its rows are {low:.2g} to {high:.2g} long, and it fits with length 1"
        yield Reading("lengths", cause, fit_of(stream, trial.values, outer))
    if sae.features == sae.width:
        turned = trial.fit(stream @ sae.w_enc.T + sae.b_enc)
        yield Reading("transposed", "encoder: it is transposed", turned)
        outer = trial.values @ sae.w_dec.T + sae.b_dec
        fit = fit_of(stream, trial.values, outer)
        yield Reading("transposed", "decoder: it is transposed", fit)


def _order(trial: Trial) -> Iterator[Reading]:
    """Decoder rows in another order than the encoder's columns: each takes the row most like it."""
    sae, values = trial.sae, trial.values
    if trial.own.cost < FIXED:
        return  # what is out of order does not fit, and the search is long
    rows = torch.nn.functional.normalize(sae.w_dec, dim=1)
    used = (values > 0).any(0).nonzero()[:, 0]
    if len(used):
        like = [(rows @ sae.w_enc[:, part]).argmax(0) for part in used.split(PART)]
        outer = values[:, used] @ sae.w_dec[torch.cat(like)] + sae.b_dec
        cause = "order: the decoder's rows are in another order than the encoder's columns"
        yield Reading("order", cause, fit_of(trial.stream, values, outer))


def huge_positions(trial: Trial) -> Iterator[Reading]:
    """Without the positions that are far larger than most, where there are such."""
    norm = trial.stream.norm(dim=1)
    usual = norm <= HUGE * norm.median()
    if not usual.all():
        cause = (
            f"positions: {int((~usual).sum())} of {len(norm)} are more than {HUGE} times as large as the "
            "median, as that of BOS is, which no SAE is trained on"
        )
        yield Reading("positions", cause, Trial(trial.sae, trial.stream[usual]).own)


def own_lengths(trial: Trial) -> Iterator[Reading]:
    """Every decoder row with a length of its own, by least squares on half of the positions.

    So much can be adjusted that it comes after all else, and is judged on the other half. The rows of
    the features with most weight are adjusted, `MOST_ROWS` of them.
    """
    sae, stream = trial.sae, trial.stream
    values, outer = trial.decoded(trial.inner + sae.b_enc)
    weight = double(values).square().sum(0) * double(sae.w_dec).square().sum(1)
    chosen = weight.topk(min(MOST_ROWS, sae.features)).indices
    half = torch.arange(len(stream), device=stream.device) % 2 == 0
    even = on_precise(half)
    rows, active, rest = (
        double(sae.w_dec[chosen]),
        double(values[:, chosen]),
        double(stream - outer),
    )
    # (values * gains) @ rows is linear in the gains; they are drawn to 0 change, for few positions.
    square = (active[even].T @ active[even]) * (rows @ rows.T)
    aim = (active[even] * (rest[even] @ rows.T)).sum(0)
    ridge = RIDGE * square.diagonal().mean() + 1e-12
    gains = torch.linalg.solve(square + ridge * torch.eye(len(square)).to(square), aim)
    better = (double(outer) + (active * gains) @ rows)[~even].to(stream)
    fit = fit_of(stream[~half], values[~half], better)
    if fit.fvu < SHARP:
        cause = (
            "decoder: its rows have lost their lengths, as where they were normalised by themselves"
        )
        yield Reading("lengths", cause, fit, SHARP)


def _amount(factor: float, more: str = "large", less: str = "small") -> str:
    """By what factor something is wrong, as "large, by a factor of 3"."""
    if factor < 0:
        return f"{_amount(-factor, more, less)}, and of the wrong sign"
    size, times = (more, factor) if factor > 1 else (less, 1 / factor)
    return f"{size}, by a factor of {times:.2g}"
