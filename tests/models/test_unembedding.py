"""What a direction writes to the logits by itself, against the network's own last steps."""

import pytest
import torch

from harness.models.unembedding import TOKENS, direct_logits
from harness.testing.models import ARCHITECTURES, random_model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_is_what_the_network_s_own_norm_and_head_make_of_a_direction(architecture):
    """But for the division by the stream's size, and the softcap."""
    model = random_model(architecture=architecture)
    network, norm = model.network, model.architecture.norm
    norm.weight.data.normal_(std=0.5)
    directions = torch.randn(3, 32) + 0.3
    centred = "LayerNorm" in type(norm).__name__ or architecture == "cohere"
    with torch.no_grad():
        head = network.get_output_embeddings()
        whole = head(norm(directions)) - head(norm(torch.zeros(32)))
    size = directions.var(-1, correction=0, keepdim=True)
    size = (size if centred else size + directions.mean(-1, keepdim=True) ** 2).sqrt()
    logits = model.direct_logits(directions)
    assert logits.shape == whole.shape
    assert logits.shape[1] > 1000
    torch.testing.assert_close(logits, whole * size, atol=1e-4, rtol=1e-3)
    # Without the norm's weight it would be another order.
    bare = directions @ network.get_output_embeddings().weight.T
    assert not torch.equal(bare.argmax(-1), logits.argmax(-1))


def test_a_large_vocabulary_is_taken_in_parts(monkeypatch):
    model, directions = random_model(), torch.randn(2, 32)
    whole = model.direct_logits(directions)
    monkeypatch.setattr("harness.models.unembedding.TOKENS", 100)
    assert TOKENS > 100
    torch.testing.assert_close(model.direct_logits(directions), whole)


def test_half_precision_is_added_up_in_float32():
    model = random_model(dtype=torch.bfloat16)
    logits = model.direct_logits(torch.randn(2, 32))
    assert logits.dtype == torch.float32
    model.network.float()
    assert not model.direct_logits(torch.zeros(1, 32)).any()


@pytest.mark.parametrize("lack", ["head", "integers", "meta", "norm", "odd", "zero", "width"])
def test_what_cannot_be_read_is_none_and_no_number(lack):
    network = random_model().network
    decoder, head = network.get_decoder(), network.get_output_embeddings()
    width = 32
    if lack == "head":
        network.set_output_embeddings(None)
    elif lack == "integers":
        head.weight = torch.nn.Parameter(head.weight.to(torch.int8), requires_grad=False)
    elif lack == "meta":
        head.to("meta")
    elif lack == "norm":
        del decoder.norm
    elif lack == "odd":
        decoder.norm = torch.nn.Sigmoid()
    elif lack == "zero":
        decoder.norm.weight.data.fill_(-1.0)
    else:
        width = 16
    norm = getattr(decoder, "norm", None)
    assert direct_logits(network, norm, torch.randn(2, width)) is None
