"""The residual stream of many rows, as much at a time as is held until every SAE has seen it."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from harness.models.adaptive_batching import map_batches
from harness.models.finite import check_finite
from harness.models.hooks import capture
from harness.models.padded_batch import Tokens, positions_of
from harness.runner.context import RunContext
from harness.specs.intervention import At

HELD_BYTES = 2**28  # of residual stream that are held until every SAE has seen them


def held_streams(
    context: RunContext, blocks: Sequence[int], rows: Sequence[Tokens], at: At
) -> Iterator[Mapping[int, Tensor]]:
    """The stream after some blocks at these positions, (n_positions, width), a part of the rows at a time.

    Raises `CannotRun` where NaN or infinity arises.
    """
    held: dict[int, list[Tensor]] = {block: [] for block in blocks}
    size = 0

    def capture_rows(chosen: list[int]) -> dict[int, Tensor]:
        return captured(context, [rows[i] for i in chosen], blocks, at)

    for _, streams in map_batches(context.limit, rows, capture_rows):
        for block, stream in streams.items():
            held[block].append(stream)
            size += stream.nbytes
        if size >= HELD_BYTES:
            yield {block: torch.cat(parts) for block, parts in held.items()}
            held, size = {block: [] for block in blocks}, 0
    if size:
        yield {block: torch.cat(parts) for block, parts in held.items()}


def captured(
    context: RunContext, rows: Sequence[Tokens], blocks: Sequence[int], at: At
) -> dict[int, Tensor]:
    """The stream after some blocks at these positions of one batch of rows, (n_positions, width)."""
    batch = context.model.batch(rows)
    streams: dict[int, Tensor] = {}
    context.model.forward(batch, capture(blocks, streams, positions_of(batch, at)))
    check_finite(streams, context.model.dtype)
    return streams
