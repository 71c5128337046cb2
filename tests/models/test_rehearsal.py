"""What forwards take, as a model without weights tells, against models with weights."""

import gc

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from harness.models.language_model import LanguageModel
from harness.models.model_files import configuration_of
from harness.models.padded_batch import Tokens, reads_of
from harness.models.rehearsal import META, Rehearsal, _watched
from harness.models.row_bytes import bytes_per_row
from harness.specs.targets import load_targets

SHAPE = {
    "model_type": "gemma2",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1000,
}


def test_what_is_held_at_once_is_counted_and_a_view_is_nothing():
    def work():
        one = torch.zeros(100, device=META)  # 400 bytes
        two = one.view(10, 10) + 1  # 800, of which the first go
        del one
        return (two * 2).t()  # 800

    taken = _watched(work)
    assert taken.bytes == 800
    assert taken.operations == 5  # zeros, view, add, mul, t


@pytest.mark.parametrize("target", ["organism", "gemma-2-2b", "gemma-3-270m"])
def test_a_known_target_is_rehearsed_at_its_size(target):
    target = load_targets()[target]
    rehearsal = Rehearsal(configuration_of(target) or target.architecture, target.dtype)
    assert rehearsal.model.depth == target.blocks
    assert rehearsal.model.width == target.width
    if target.parameters:
        assert rehearsal.model.n_parameters == target.parameters


def test_a_backward_pass_holds_what_a_real_one_saves():
    """Of each block, by what autograd says it saves for a model that has weights."""
    rows, columns = 3, 40
    config = {name: value for name, value in SHAPE.items() if name != "model_type"}
    network = Gemma2ForCausalLM(Gemma2Config(**config, attn_implementation="eager"))
    model = LanguageModel(network, tokenizer=None)
    own = {weight.untyped_storage()._cdata for weight in network.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor):
        if (storage := tensor.untyped_storage())._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    batch = model.batch([Tokens((0,) * (columns - 2), ((0,), (1,)))] * rows)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        taps = {0: lambda stream: stream.requires_grad_()}
        kept = model.token_scores(batch, reads_of(batch), taps, gradients=True)
    real = sum(saved.values())
    del kept
    gc.collect()
    rehearsed = Rehearsal(SHAPE, "float32").attribute(rows, columns, [0]).bytes
    assert real <= rehearsed <= 1.5 * real


@pytest.mark.parametrize("columns", [20, 200])
@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [SHAPE, {"model_type": "gemma2"}])
def test_the_rows_that_fit_are_reckoned_with_enough(shape, dtype, rows, columns):
    """Batches are made by `bytes_per_row`: a forward of them takes no more."""
    rehearsal = Rehearsal(shape, dtype)
    allowed = rows * bytes_per_row(rehearsal.model, columns)
    assert rehearsal.score(rows, columns).bytes <= allowed
    assert rehearsal.replay(rows, columns, [0]).bytes <= allowed


def test_a_model_that_is_deeper_than_any_is_not_built():
    with pytest.raises(ValueError, match="100000 blocks"):
        Rehearsal(SHAPE | {"num_hidden_layers": 100_000}, "float32")


def test_what_was_rehearsed_is_known():
    """A replay of a large model takes seconds, and stages ask for the same ones."""
    rehearsal = Rehearsal(SHAPE, "float32")
    taken = rehearsal.replay(2, 8, [1])
    assert rehearsal.replay(2, 8, [1]) is taken
    assert rehearsal.replay(2, 8, [3]).operations < taken.operations
    assert rehearsal.score(2, 8) is rehearsal.score(2, 8)


@pytest.mark.parametrize("site", ["mlp_out", "attn_out", "transcoder", "resid_pre"])
def test_replays_of_other_sites_are_rehearsed_as_they_are(site):
    """What is computed of the block itself counts: attention's output has its MLP after it."""
    plain, other = Rehearsal(SHAPE, "float32"), Rehearsal(SHAPE, "float32", site)
    below, above = (one.replay(2, 20, [1]).operations for one in (plain, other))
    assert (above > below + 30) is (site in ("attn_out", "resid_pre"))
    assert below <= above <= 2 * below
