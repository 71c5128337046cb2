"""Other readings of what a dictionary reads: from another place, normalised otherwise, of fewer positions."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from harness.sae.encoding import Sae
from harness.sae.trial import Reading, Trial, fit_of, fits_apart
from harness.specs.sites import Site

HUGE = 5  # times the median norm: positions such as BOS, on which no SAE is trained
POOR = 0.2  # error from which what the other sites hold is worth a forward
# A site as a warning says it; others by their names.
WORDS: Mapping[Site, str] = {"resid_post": "the output", "transcoder": "the MLP"}
Beside = Callable[[], Mapping[Site, Tensor]]  # what the other sites of a layer hold
Gain = tuple[Tensor, Tensor | None]  # of the norm whose output an MLP reads, each (width,)


def huge_positions(trial: Trial) -> Iterator[Reading]:
    """Without the positions that are far larger than most, where there are such."""
    sides = [part.norm(dim=1) for part in (trial.read, trial.aim)]
    usual = torch.stack([norm <= HUGE * norm.median() for norm in sides]).all(0)
    if not usual.all():
        cause = (
            f"positions: {int((~usual).sum())} of {len(usual)} are more than {HUGE} times as large as the "
            "median, as that of BOS is, which no SAE is trained on"
        )
        yield Reading("positions", cause, Trial(trial.sae, trial.held[usual]).own)


def other_layers(trial: Trial, streams: Mapping[int, Tensor], layer: int) -> Iterator[Reading]:
    """What the same site of the other blocks holds; `trial` is on `layer`'s."""
    site = trial.sae.site
    what = WORDS.get(site, site)
    others = {block: other for block, other in streams.items() if block != layer}
    for block, fit in zip(others, fits_apart(trial.sae, [*others.values()]), strict=True):
        cause = f"wrong layer: it fits {what} of block {block}, not of block {layer}"
        yield Reading("layer", cause, fit)


def other_places(trial: Trial, beside: Beside | None) -> Iterator[Reading]:
    """What the layer's other sites hold, if it fits ill where it is read; of other sizes none is tried."""
    if beside is None or trial.own.error < POOR:
        return
    for site, held in beside().items():
        moved = replace(trial.sae, site=site)
        if site != trial.sae.site and _suits(moved, held):
            cause = f"wrong place: it fits {site}, not {trial.sae.site}"
            yield Reading("place", cause, Trial(moved, held).own)


def _suits(sae: Sae, held: Tensor) -> bool:
    """Whether the sizes allow to read a dictionary there."""
    alike = sae.site == "transcoder" or sae.width == sae.w_dec.shape[1]
    return alike and sae.held_width == held.shape[1]


def other_norms(trial: Trial) -> Iterator[Reading]:
    """What is done to each position's input before the encoder, and undone after the decoder."""
    sae, read = trial.sae, trial.read
    mean = read.mean(1, keepdim=True)
    spread = read.std(1, correction=0, keepdim=True).clamp(min=1e-12)
    norm = read.norm(dim=1, keepdim=True).clamp(min=1e-12)
    none, one = torch.zeros_like(mean), torch.ones_like(mean)
    shift, _, divisor = trial.moments
    sums = sae.w_enc.sum(0)
    raw = trial.inner * divisor + shift * sums
    found = "it is not" if sae.norm is None else f"it is normalised by {sae.norm}"
    for own, kind, what, shift, scale in (
        (None, "as it is", "as it is", none, one),
        ("layer_norm", "layer norm", "normalised to mean 0 and variance 1 (layer_norm)", mean, spread),
        ("constant_norm_rescale", "norm", "divided by its root mean square", none, norm / sae.width**0.5),
        ("", "norm", "divided by its length", none, norm),
        ("", "centre", "without its mean over the dimensions", mean, one),
    ):  # fmt: skip
        if own != sae.norm:
            values, outer = trial.decoded((raw - shift * sums) / scale + sae.b_enc)
            cause = f"input: it expects each token's stream {what}, and {found}"
            fit = fit_of(trial.aim, values, outer * scale + shift + trial.passed)
            yield Reading(kind, cause, fit)


def other_gains(trial: Trial, gain: Gain | None) -> Iterator[Reading]:
    """A transcoder's input with the norm's weights taken out, or applied once more."""
    if gain is None or trial.sae.site != "transcoder":
        return
    weight, bias = gain[0], 0.0 if gain[1] is None else gain[1]
    causes = {
        "gain: it expects what the norm's weights are applied to twice": trial.read * weight + bias
    }
    if weight.all():
        cause = "gain: it expects the normed stream without the norm's weights, and they are in what it reads"
        causes[cause] = (trial.read - bias) / weight
    for cause, read in causes.items():
        yield Reading("gain", cause, Trial(trial.sae, torch.cat([read, trial.aim], 1)).own)
