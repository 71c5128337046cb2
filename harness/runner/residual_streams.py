"""The residual stream of many rows, as much at a time as is held until every SAE has seen it."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from harness.models.adaptive_batching import map_batches, split_by_padding
from harness.models.cached_blocks import end_after
from harness.models.finite import check_finite
from harness.models.hooks import capture
from harness.models.padded_batch import Tokens, positions_of
from harness.runner.context import RunContext
from harness.runner.grouping import SMALL
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

    for streams in _batches(context, blocks, rows, at):
        for block, stream in streams.items():
            held[block].append(stream)
            size += stream.nbytes
        if size >= HELD_BYTES:
            yield {block: torch.cat(parts) for block, parts in held.items()}
            held, size = {block: [] for block in blocks}, 0
    if size:
        yield {block: torch.cat(parts) for block, parts in held.items()}


def _batches(
    context: RunContext, blocks: Sequence[int], rows: Sequence[Tokens], at: At
) -> Iterator[dict[int, Tensor]]:
    model = context.model
    parts: list[Sequence[int]] = [range(len(rows))]
    # A forward of a large model on a processor takes as long as it has columns, padding as well.
    if model.device.type == "cpu" and model.n_parameters > SMALL:
        parts = [*split_by_padding(rows, context.limit.rows)]
    for part in parts:
        some = [rows[i] for i in part]

        def capture_rows(chosen: list[int], some: list[Tokens] = some) -> dict[int, Tensor]:
            return captured(context, [some[i] for i in chosen], blocks, at)

        for _, streams in map_batches(context.limit, some, capture_rows):
            yield streams


def captured(
    context: RunContext, rows: Sequence[Tokens], blocks: Sequence[int], at: At
) -> dict[int, Tensor]:
    """The stream after some blocks at these positions of one batch of rows, (n_positions, width)."""
    model, streams = context.model, dict[int, Tensor]()
    batch = model.batch(rows)
    with end_after(model.blocks, max(blocks), model.architecture.family):
        model.forward(batch, capture(blocks, streams, positions_of(batch, at)))
    check_finite(streams, model.dtype)
    return streams
