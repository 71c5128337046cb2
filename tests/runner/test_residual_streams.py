"""Streams that are held: the same positions however rows are put together."""

from functools import partial

import torch

from harness.runner import residual_streams
from harness.runner.residual_streams import held_streams
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
