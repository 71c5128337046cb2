"""Streams that are held: the same positions however rows are put together."""

from functools import partial

import pytest
import torch

from harness.models.hooks import capture
from harness.models.padded_batch import positions_of
from harness.runner import residual_streams
from harness.runner.residual_streams import captured, held_streams
from harness.testing.models import ARCHITECTURES
from tests.helpers.drawn import model, prompts, run_context_of


def held(block=1):
    """The stream at every prompt position, in an order of its own, (n_positions, width)."""
    used = model("gemma2")
    rows = [used.tokens(text) for text in dict.fromkeys(one.text for one in prompts())]
    parts = [of[block] for of in held_streams(run_context_of(used, 32), [block], rows, "prompt")]
    stream = torch.cat(parts)
    return stream[stream[:, 0].argsort()]


def test_a_large_models_rows_of_unlike_lengths_are_apart_and_hold_the_same(monkeypatch):
    whole, parts = held(), []
    tight = partial(residual_streams.split_by_padding, overhead=1)
    monkeypatch.setattr(residual_streams, "SMALL", 0)
    monkeypatch.setattr(
        residual_streams,
        "split_by_padding",
        lambda rows, size: [parts.append(part) or part for part in tight(rows, size)],
    )
    assert torch.allclose(held(), whole, atol=1e-4)
    assert len(parts) > 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("site", ["resid_post", "resid_pre", "mlp_out"])
def test_blocks_after_those_that_are_read_are_not_computed(architecture, site):
    used = model(architecture).at(site)
    rows = [used.tokens(prompt.text) for prompt in prompts()[:3]]
    batch, whole, computed = used.batch(rows), {}, []
    used.forward(batch, capture([0], whole, positions_of(batch, "prompt")))
    handles = [
        block.register_forward_hook(lambda *_, i=i: computed.append(i))
        for i, block in enumerate(used.blocks)
    ]
    held = captured(run_context_of(used), rows, [0], "prompt")
    for handle in handles:
        handle.remove()
    assert torch.equal(held[0], whole[0])
    assert computed == [0]
    assert len(used.blocks) > 1
