"""Other ways to read the weights of a dictionary: every usual mistake of storing one, undone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.sae.precise import double, on_precise, total
from harness.sae.trial import (
    ADJUSTED,
    FACTORS,
    FIXED,
    Reading,
    Trial,
    fit_of,
    fits_of,
    measured_fit,
)

NO_FAULT = 1.4  # a factor nearer to 1 is no mistake: sparse training shrinks values
SHARP = 1 / 3  # FVU, and share of the cost, that so many adjustments may leave
MOST_ROWS, RIDGE = 512, 0.05
PROBED, IN_ORDER = (
    256,
    0.9,
)  # features that are looked at first; share of them that must be in order
PART = 1024  # features whose encoder is held against every decoder row at once


def biases(trial: Trial) -> Iterator[Reading]:
    """A bias that is subtracted from the input or is not, lost, of the wrong sign, or off."""
    sae, inner, moved = trial.sae, trial.inner, trial.moved
    # Libraries differ in whether the decoder's bias is subtracted from the input before encoding
    # (SAELens' `apply_b_dec_to_input`), and the weights do not tell.
    if sae.b_dec.any() and moved is not None:
        cause = "decoder bias: this SAE expects it to be subtracted from its input, and it is not"
        yield Reading("bias in", cause, trial.fit(inner + sae.b_enc - moved))
        cause = "decoder bias: it is subtracted from the input, and this SAE does not expect that"
        yield Reading("bias in", cause, trial.fit(inner + sae.b_enc + moved))
    if sae.b_enc.any():
        cause = "encoder bias: it has the wrong sign"
        yield Reading("encoder bias", cause, trial.fit(inner - sae.b_enc))
    elif sae.b_dec.any() and moved is not None:
        # It cannot be had again; but mostly it takes the stream's mean away, and keeps values down.
        cause = "encoder bias: it is all 0, as where it was lost"
        centred = inner - moved
        for _, fit in trial.with_thresholds(centred):
            yield Reading("encoder bias", cause, fit)
    lost = not sae.b_dec.any()
    what = "is all 0, as where it was lost" if lost else "is off by a constant"
    # Least squares, as what is shifted may be scaled at each position.
    scale = trial.moments[1]
    rest = trial.aim - trial.raw(trial.outer)
    shift = (scale * rest).mean(0) / scale.square().mean()
    fit = trial.measured(trial.values, trial.outer + shift)
    yield Reading("bias out", f"decoder bias: it {what}", fit, FIXED if lost else ADJUSTED)


def factors(trial: Trial) -> Iterator[Reading]:
    """A factor of the input, of the encoder, or of the decoder that is missing or there twice."""
    sae = trial.sae
    # Streams are often scaled to a mean norm of the square root of the width (SAELens), or to 1.
    norm = max(float(trial.seen.norm(dim=1).mean()), 1e-12)
    usual = sae.width**0.5 / norm
    known = (usual, 1 / usual, 1 / norm, norm)
    causes, measured = [], []
    for factor in (*FACTORS, *known):
        if max(factor, 1 / factor) >= NO_FAULT:
            values, outer = trial.decoded(sae.b_enc.add(trial.inner, alpha=factor))
            if scaled := _scaled_back(trial, factor, outer):
                cause, back = scaled
                causes.append(("scale", cause, FIXED if factor in known else ADJUSTED))
                measured.append(measured_fit(trial.aim, values, back))
            cause = f"encoder: its weights are too {_amount(1 / factor)}"
            causes.append(("encoder", cause, ADJUSTED))
            measured.append(measured_fit(trial.aim, values, trial.raw(outer)))
    for (kind, cause, leaves), fit in zip(causes, fits_of(trial.aim, measured), strict=True):
        yield Reading(kind, cause, fit, leaves)
    cause = "encoder: its weights have the wrong sign"
    yield Reading("encoder", cause, trial.fit(sae.b_enc - trial.inner))
    for what, fixed in (
        ("its weights are", sae.b_dec),
        ("its weights and bias are", 0 * sae.b_dec),
    ):
        moving = trial.moments[1] * (trial.outer - fixed)
        factor = _least_squares(moving, trial.aim - trial.raw(fixed))
        if abs(factor) > 1e-3 and (factor < 0 or max(factor, 1 / factor) >= NO_FAULT):
            cause = f"decoder: {what} too {_amount(1 / factor)}"
            outer = factor * trial.outer + (1 - factor) * fixed
            yield Reading("decoder", cause, trial.measured(trial.values, outer), ADJUSTED)


def _scaled_back(trial: Trial, factor: float, outer: Tensor) -> tuple[str, Tensor] | None:
    """What it means that the input is scaled by `factor`, and what is reconstructed then.

    An SAE's output is scaled back, a transcoder's by a factor of its own, None where that is none.
    """
    if trial.sae.site != "transcoder":
        cause = f"scale: it expects a stream {factor:.2g} times as large as this model's"
        return cause, trial.raw(outer / factor)
    shift, scale, _ = trial.moments
    moving = scale * outer + factor * trial.passed
    back = _least_squares(moving, trial.aim - shift)
    if back <= 1e-6 or max(back, 1 / back) < NO_FAULT:
        return None
    cause = (
        f"scale: it expects inputs {factor:.2g} times, and writes outputs {1 / back:.2g} times, as large "
        "as this model's"
    )
    return cause, back * moving + shift


def thresholds(trial: Trial) -> Iterator[Reading]:
    """Thresholds of another scale."""
    sae = trial.sae
    if not sae.threshold.any():
        return
    for factor, fit in trial.with_thresholds(trial.before):
        if max(factor, 1 / factor) >= NO_FAULT:
            cause = f"thresholds: they are too {_amount(1 / factor, 'high', 'low')}"
            yield Reading("thresholds", cause, fit)


def decoders(trial: Trial) -> Iterator[Reading]:
    """Lengths of decoder rows; and matrices as wide as they are long, whose shapes do not tell."""
    sae, values = trial.sae, trial.values
    length = sae.w_dec.norm(dim=1, keepdim=True)
    low, high = (float(end) for end in length.aminmax())
    if high > NO_FAULT * low:
        outer = values @ (sae.w_dec / length.clamp(min=1e-12)) + sae.b_dec
        cause = f"decoder: its rows are {low:.2g} to {high:.2g} long, and it fits with length 1"
        yield Reading("lengths", cause, trial.measured(values, outer))
    if sae.features == sae.width:
        turned = trial.fit(trial.seen @ sae.w_enc.T + sae.b_enc)
        yield Reading("transposed", "encoder: it is transposed", turned)
    if sae.features == sae.w_dec.shape[1]:
        fit = trial.measured(values, values @ sae.w_dec.T + sae.b_dec)
        yield Reading("transposed", "decoder: it is transposed", fit)


def order(trial: Trial) -> Iterator[Reading]:
    """Decoder rows in another order than the encoder's columns: each takes the row most like it."""
    sae, values = trial.sae, trial.values
    # What is out of order does not fit, and the search is long. A transcoder's two sides are not alike.
    if trial.own.cost < FIXED or sae.site == "transcoder":
        return
    rows = torch.nn.functional.normalize(sae.w_dec, dim=1)
    used = (values > 0).any(0).nonzero()[:, 0]
    # Nor is it begun where some of the features show that they are in order.
    some = used[:: 1 + len(used) // PROBED]
    if len(used) and (_most_like(rows, sae.w_enc, some) != some).float().mean() > 1 - IN_ORDER:
        like = [_most_like(rows, sae.w_enc, part) for part in used.split(PART)]
        outer = values[:, used] @ sae.w_dec[torch.cat(like)] + sae.b_dec
        cause = "order: the decoder's rows are in another order than the encoder's columns"
        yield Reading("order", cause, trial.measured(values, outer))


def _most_like(rows: Tensor, encoder: Tensor, features: Tensor) -> Tensor:
    """Which of the `rows` (n_features, width) is most like the encoder's column of each feature, (k,)."""
    return (rows @ encoder[:, features]).argmax(0)


def own_lengths(trial: Trial) -> Iterator[Reading]:
    """Every decoder row with a length of its own, by least squares on half of the positions.

    So much can be adjusted that it comes after all else, and is judged on the other half. The rows of
    the features with most weight are adjusted, `MOST_ROWS` of them.
    """
    sae, aim = trial.sae, trial.aim
    values, found = trial.values, trial.raw(trial.outer)
    weight = total(values.square()) * double(sae.w_dec.norm(dim=1)).square()
    chosen = weight.topk(min(MOST_ROWS, sae.features)).indices
    half = torch.arange(len(aim), device=aim.device) % 2 == 0
    even = on_precise(half)
    rows, active, rest = (
        double(sae.w_dec[chosen]),
        double(values[:, chosen] * trial.moments[1]),
        double(aim - found),
    )
    # (values * gains) @ rows is linear in the gains; they are drawn to 0 change, for few positions.
    square = (active[even].T @ active[even]) * (rows @ rows.T)
    goal = (active[even] * (rest[even] @ rows.T)).sum(0)
    ridge = RIDGE * square.diagonal().mean() + 1e-12
    gains = torch.linalg.solve(square + ridge * torch.eye(len(square)).to(square), goal)
    better = (double(found) + (active * gains) @ rows)[~even].to(aim)
    fit = fit_of(aim[~half], values[~half], better)
    if fit.fvu < SHARP:
        cause = (
            "decoder: its rows have lost their lengths, as where they were normalised by themselves"
        )
        yield Reading("lengths", cause, fit, SHARP)


def _least_squares(moving: Tensor, aim: Tensor) -> float:
    """The factor of `moving` that comes nearest to `aim`, each (n_positions, width)."""
    squares = float(double(moving).square().sum())
    return float((double(moving) * double(aim)).sum()) / (squares or 1.0)


def _amount(factor: float, more: str = "large", less: str = "small") -> str:
    """By what factor something is wrong, as "large, by a factor of 3"."""
    if factor < 0:
        return f"{_amount(-factor, more, less)}, and of the wrong sign"
    size, times = (more, factor) if factor > 1 else (less, 1 / factor)
    return f"{size}, by a factor of {times:.2g}"
