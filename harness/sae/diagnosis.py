"""Why an SAE does not fit a residual stream: the usual mistakes, each tried the other way round.

An SAE that was loaded wrongly still runs, and still has features that fire. What gives it away is
that some other reading of the same weights reconstructs the stream far better.

Fit is the fraction of variance unexplained (FVU) of the median dimension. Residual streams have a few
dimensions of very large variance: over all dimensions together, these alone would decide.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from harness.sae.jumprelu import Sae, decode, encode
from harness.sae.precise import double

POOR = 0.1  # median FVU above which another reading is looked for
BETTER = 0.5  # the share of the FVU that another reading may leave to be believed
HOPELESS = 0.7  # median FVU above which the SAE is of no use, whatever the reason
MOST_QUANTILES = (
    10_000_000  # numbers of which a quantile is taken: torch's takes 16 million at most
)


def misfit(sae: Sae, streams: Mapping[int, Tensor], layer: int) -> str | None:
    """What is wrong with reading `layer` with this SAE, in words; None where nothing seems to be.

    `streams` are samples (n_positions, width) of the residual stream after every block, BOS left out,
    on which no SAE is trained.
    """
    stream = streams[layer].float()
    values = encode(sae, stream)
    fvu = median_fvu(stream, decode(sae, values))
    # First, as a lack of thresholds hardly shows in the fit.
    if missing := _missing_thresholds(sae, stream, values, fvu):
        return missing
    if fvu <= POOR:
        return None
    other_fvu, reason = min(_other_readings(sae, streams, layer), default=(fvu, ""))
    if other_fvu <= BETTER * fvu and other_fvu < HOPELESS:
        return f"{reason} (median FVU on some positions {other_fvu:.2f} instead of {fvu:.2f})"
    if fvu >= HOPELESS:
        return (
            f"it does not reconstruct this stream (median FVU {fvu:.2f} on some positions), for no "
            "reason that is known here: check that it was trained on this model"
        )
    return None


def median_fvu(stream: Tensor, reconstruction: Tensor) -> float:
    """Fraction of variance unexplained of the median dimension, of (n_positions, width) each.

    0 where it is exact, 1 for the mean of each dimension, and more for worse. Dimensions that do not
    vary are left out; 0 where none does.
    """
    errors = double(stream - reconstruction).square().mean(0)
    variances = double(stream).var(0, correction=0)
    varies = variances > 0
    return float((errors[varies] / variances[varies]).median()) if varies.any() else 0.0


def _other_readings(
    sae: Sae, streams: Mapping[int, Tensor], layer: int
) -> Iterator[tuple[float, str]]:
    """Other ways to read the same weights: the FVU of each, and what it would mean."""
    stream = streams[layer].float()

    def fvu(values: Tensor, of: Tensor = stream) -> float:
        return median_fvu(of, decode(sae, values))

    for block, other in streams.items():
        if block != layer:
            yield (
                fvu(encode(sae, other.float()), other.float()),
                f"wrong layer: it fits the output of block {block}, not of block {layer}",
            )
    # Libraries differ in whether the decoder's bias is subtracted from the input before encoding
    # (SAELens' `apply_b_dec_to_input`), and the weights do not tell.
    yield (
        fvu(encode(sae, stream - sae.b_dec)),
        "decoder bias: this SAE expects it to be subtracted from its input, and it is not",
    )
    yield (
        fvu(encode(sae, stream + sae.b_dec)),
        "decoder bias: it is subtracted from the input, and this SAE does not expect that",
    )


def _missing_thresholds(sae: Sae, stream: Tensor, values: Tensor, fvu: float) -> str | None:
    """Whether thresholds were lost, in words: then half of what is active, or more, only adds noise.

    `stream` (n_positions, width), `values` (n_positions, n_features) of it and their median `fvu`.
    An SAE that was trained without thresholds needs its small values: cut off, its fit suffers. One
    that lost them fits as well, or better, without the values that its thresholds had held back.
    """
    active = values[values > 0]
    if sae.relu or float(sae.threshold.abs().max()) > 1e-6 or not len(active):
        return None
    # Where the thresholds were is not known, so one cut for all features is tried at several heights.
    levels = torch.linspace(0.5, 0.95, 10, device=values.device)
    for cut in active[:: len(active) // MOST_QUANTILES + 1].quantile(levels):
        gated = values * (values > cut)
        if median_fvu(stream, decode(sae, gated)) <= fvu:
            before, after = ((some > 0).sum(1).float().mean() for some in (values, gated))
            return (
                f"ReLU instead of JumpReLU: its thresholds are all 0, and {before:.0f} features are "
                f"active where {after:.0f} explain as much"
            )
    return None
