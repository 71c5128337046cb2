"""Why an SAE does not fit a residual stream: the usual mistakes, each tried the other way round.

An SAE that was loaded wrongly still runs, and still has features that fire. What gives it away is
that some other reading of the same weights reconstructs the stream far better.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from harness.sae.jumprelu import Sae, decode, encode
from harness.sae.precise import double

POOR = 0.1  # median FVU above which another reading is looked for
BETTER = 0.5  # how much of the FVU another reading may leave to be believed
HOPELESS = 0.7  # median FVU above which the SAE is of no use, whatever the reason


def misfit(sae: Sae, streams: Mapping[int, Tensor], layer: int) -> str | None:
    """What is wrong with reading `layer` with this SAE, in words; None where nothing seems to be.

    `streams` are samples (positions, width) of the residual stream after every block, BOS left out.
    """
    stream = streams[layer].float()
    values = encode(sae, stream)
    own = median_fvu(stream, decode(sae, values))
    if ungated := _ungated(sae, stream, values, own):
        return ungated
    if own <= POOR:
        return None
    found, reason = min(_readings(sae, streams, layer), default=(own, ""))
    if found <= BETTER * own and found < HOPELESS:
        return f"{reason} (median FVU on some positions {found:.2f} instead of {own:.2f})"
    if own >= HOPELESS:
        return (
            f"it does not reconstruct this stream (median FVU {own:.2f} on some positions), for no "
            "reason that is known here: check that it was trained on this model"
        )
    return None


def median_fvu(stream: Tensor, reconstruction: Tensor) -> float:
    """Fraction of variance unexplained of the median dimension: a few large ones cannot hide it."""
    errors = double(stream - reconstruction).square().mean(0)
    variances = double(stream).var(0, correction=0)
    varies = variances > 0
    return float((errors[varies] / variances[varies]).median()) if varies.any() else 0.0


def _readings(sae: Sae, streams: Mapping[int, Tensor], layer: int) -> Iterator[tuple[float, str]]:
    """Other ways to read the same weights: the FVU of each, and what it would mean."""
    stream = streams[layer].float()

    def fvu(values: Tensor, of: Tensor = stream) -> float:
        return median_fvu(of, decode(sae, values))

    for block, other in streams.items():
        if block != layer:
            found = fvu(encode(sae, other.float()), other.float())
            yield found, f"wrong layer: it fits the output of block {block}, not of block {layer}"
    yield (
        fvu(encode(sae, stream - sae.b_dec)),
        "decoder bias: this SAE expects it to be subtracted from its input, and it is not",
    )
    yield (
        fvu(encode(sae, stream + sae.b_dec)),
        "decoder bias: it is subtracted from the input, and this SAE does not expect that",
    )


def _ungated(sae: Sae, stream: Tensor, values: Tensor, own: float) -> str | None:
    """Whether thresholds are missing: half of what is active only adds noise.

    An SAE that was trained without thresholds needs its small values, and its fit suffers.
    """
    active = values[values > 0]
    if sae.relu or float(sae.threshold.abs().max()) > 1e-6 or not len(active):
        return None
    levels = torch.linspace(0.5, 0.95, 10, device=values.device)
    # quantile takes 16 million numbers at most.
    for cut in active[:: len(active) // 10_000_000 + 1].quantile(levels):
        gated = values * (values > cut)
        if median_fvu(stream, decode(sae, gated)) <= own:
            before, after = ((some > 0).sum(1).float().mean() for some in (values, gated))
            return (
                f"ReLU instead of JumpReLU: its thresholds are all 0, and {before:.0f} features are "
                f"active where {after:.0f} explain as much"
            )
    return None
