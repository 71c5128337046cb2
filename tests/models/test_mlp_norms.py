"""The weights of the norm before an MLP, in every family, against what the MLP is seen to read."""

from dataclasses import replace

import pytest
import torch

from harness.errors import InputError
from harness.models.architecture import FAMILIES
from harness.models.hooks import capture
from harness.models.mlp_norms import mlp_norm
from harness.models.padded_batch import Tokens
from harness.sae.encoding import Sae, decode, encode, with_gain
from harness.testing.models import random_model
from tests.helpers.tiny_families import tiny

ROW = Tokens((2, 5, 9, 17, 33, 40, 51, 8, 62))
# Modules before the MLP by the peer's own names, and whether they take the mean away.
NAMED = {
    "gemma2": ("pre_feedforward_layernorm", False),
    "llama": ("post_attention_layernorm", False),
    "gpt2": ("ln_2", True),
    "gpt_neox": ("post_attention_layernorm", True),
}
POST_NORM_ALONE = {"olmo2", "olmo3", "exaone4"}  # their MLPs read the stream as it is


def normed_by_hand(stream, centred):
    """Each position's vector with mean square 1, and mean 0 where it is centred, in float64."""
    stream = stream.double()
    if centred:
        stream = stream - stream.mean(-1, keepdim=True)
    return stream / (stream.square().mean(-1, keepdim=True)).sqrt()


def seen(model, block=1, module=None):
    """What the MLP of a block reads, and what a module of the block is given, (rows, columns, width)."""
    held, given = {}, []
    handle = module and module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    there = model.at("transcoder")
    there.forward(there.batch([ROW]), capture([block], held))
    if handle:
        handle.remove()
    return held[block][..., : model.width], given[0] if given else None


def drawn(norm):
    """Weights and biases that differ from what they are made with."""
    generator = torch.Generator().manual_seed(4)
    for weight in norm.parameters():
        weight.data = 1 + 0.5 * torch.randn(weight.shape, generator=generator)


@pytest.mark.parametrize("name", NAMED)
def test_what_the_mlp_reads_is_normed_times_gain_and_bias(name):
    path, centred = NAMED[name]
    model = random_model(5, architecture=name)
    norm = model.parts(1).module(path)
    drawn(norm)
    found = mlp_norm(model.parts(1))
    gain, bias = found.gain, found.bias
    read, stream = seen(model, 1, norm)
    normed = normed_by_hand(stream, centred)
    assert torch.allclose(normed * gain + bias, read.double(), atol=1e-4)
    assert found.centred is centred
    assert bool(bias.abs().max() > 1e-3) is centred

    generator = torch.Generator().manual_seed(6)
    w_enc, b_enc = torch.randn(32, 64, generator=generator), torch.randn(64, generator=generator)
    raw = Sae(w_enc, b_enc, w_enc.T, torch.zeros(32), torch.zeros(64), site="transcoder", without_gain=True)  # fmt: skip
    folded = with_gain(raw, gain, bias)
    both = torch.cat([read, read], -1)
    wanted = torch.relu(normed @ w_enc.double() + b_enc)
    assert torch.allclose(encode(folded, both).double(), wanted, atol=1e-3)

    skip = torch.randn(32, 32, generator=generator)
    folded = with_gain(replace(raw, skip=skip), gain, bias)
    passed = decode(folded, torch.zeros(*read.shape[:-1], 64), both)
    assert torch.allclose(passed.double(), normed @ skip.double(), atol=1e-3)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_norm_of_every_family_is_the_one_before_its_mlp(kind):
    model = tiny(kind) if kind != "gemma3" else random_model(architecture="gemma3_multimodal")
    for weight in model.parts(1).block.parameters():
        if weight.ndim == 1:
            weight.data.uniform_(0.5, 1.5)
    if kind in POST_NORM_ALONE:
        with pytest.raises(InputError, match="no norm is found before their MLPs"):
            mlp_norm(model.parts(1))
        return
    found = mlp_norm(model.parts(1))
    gain, bias = found.gain, found.bias
    read, _ = seen(model)
    # What is normed has a mean square of 1 wherever it is read, and the gain alone has not.
    normed = (read.double() - bias) / gain
    assert torch.allclose(normed.square().mean(-1), torch.ones(1).double(), atol=1e-2)


def test_the_models_own_norm_is_left_as_it_is_in_half_precision():
    model = random_model(5, dtype=torch.bfloat16)
    norm = model.parts(1).module("pre_feedforward_layernorm")
    before = norm.weight.clone()
    found = mlp_norm(model.parts(1))
    gain, bias = found.gain, found.bias
    assert norm.weight.dtype == torch.bfloat16
    assert torch.equal(norm.weight, before)
    assert not bias.any()
    assert torch.equal(gain, 1 + before.float())
