"""Taps as hooks on the blocks, which are taken off again on every way out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.forward_types import Tap
from harness.models.transfer import send


@contextmanager
def tap_blocks(
    blocks: nn.ModuleList, taps: Mapping[int, Tap], device: torch.device
) -> Iterator[None]:
    """Let `taps`, by block, see the residual stream (rows, columns, width) after it, on `device`."""
    handles = []
    try:
        for block, tap in taps.items():
            handles.append(blocks[block].register_forward_hook(_hook_of(tap, device)))
        yield
    finally:
        finish([handle.remove for handle in handles])


def capture(
    blocks: Iterable[int], streams: dict[int, Tensor], positions: Tensor | None = None
) -> dict[int, Tap]:
    """Taps that put the stream after each of these blocks into `streams`, and change nothing.

    All of it, (rows, columns, width); or at `positions` (rows, columns) bool, (n_positions, width).
    """

    # As indices, which no device has to count, and sent there once for all blocks.
    @cache
    def places(device: torch.device) -> tuple[Tensor, ...]:
        assert positions is not None
        return send(device, *positions.nonzero(as_tuple=True))

    def capture_block(block: int) -> Tap:
        def tap(residual: Tensor) -> None:
            streams[block] = residual if positions is None else residual[places(residual.device)]

        return tap

    return {block: capture_block(block) for block in blocks}


def finish(steps: list[Callable[[], object]]) -> None:
    """Take every step, whatever interrupts: a second Ctrl-C must not stop the cleaning up."""
    interrupted: KeyboardInterrupt | None = None
    while steps:
        try:
            steps[-1]()
            steps.pop()
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _hook_of(tap: Tap, device: torch.device) -> Callable[..., Any]:
    # A block returns its residual stream in transformers 5, and a tuple that begins with it in 4.
    # Where a model is spread over devices a tap sees the stream on the model's first one.
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        changed = tap(stream.to(device))
        if changed is None:
            return None
        changed = changed.to(stream.device)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook
