"""Dictionaries of a centred stream, read from the stream as it is."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.sae import encode
from harness.sae.centring import centred
from harness.testing.models import random_sae


@settings(deadline=None)
@given(st.integers(0, 2**20), st.floats(-5, 5))
def test_a_centred_dictionary_has_the_values_of_the_stream_without_its_mean(seed, shift):
    """And so a stream that is moved along all dimensions alike changes none of them."""
    sae = random_sae(seed, width=12)
    stream = torch.randn(30, 12, generator=torch.Generator().manual_seed(seed))
    without = stream - stream.mean(dim=-1, keepdim=True)
    # Nowhere may rounding decide on which side of a threshold a value lies.
    assume((without @ sae.w_enc + sae.b_enc - sae.threshold).abs().min() > 1e-4)
    found = encode(centred(sae), stream + shift)
    torch.testing.assert_close(found, encode(sae, without), rtol=1e-4, atol=1e-4)
