"""Dictionaries of a stream without its mean over the dimensions, read from the stream as it is."""

from dataclasses import replace

from harness.sae.encoding import Sae


def centred(sae: Sae) -> Sae:
    """A dictionary with the values that `sae` has of a stream less its mean over the dimensions.

    Each feature's encoder loses its own mean: (x - mean(x)) W = x (W - mean(W)). TransformerLens takes that
    mean away (`center_writing_weights`), which no model with LayerNorm notices; what is reconstructed is
    without it. Expects an input that is not normalised.
    """
    return replace(sae, w_enc=sae.w_enc - sae.w_enc.mean(dim=-2, keepdim=True))
