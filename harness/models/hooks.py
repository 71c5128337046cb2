"""Taps as hooks on a block or on its parts, which are taken off again on every way out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.block_parts import BlockParts
from harness.models.forward_types import Tap
from harness.models.transfer import send
from harness.specs.sites import Site

Parts = Callable[[int], BlockParts]  # of a block by its number


@contextmanager
def tap_blocks(
    blocks: nn.ModuleList,
    taps: Mapping[int, Tap],
    device: torch.device,
    site: Site = "resid_post",
    parts: Parts | None = None,
) -> Iterator[None]:
    """Let `taps`, by block, see what its `site` holds (rows, columns, width), on `device`.

    `parts` are needed at sites within the blocks.
    """
    handles: list[Any] = []
    try:
        for block, tap in taps.items():
            if site == "resid_post":
                handles.append(blocks[block].register_forward_hook(_on_output(tap, device)))
            elif site == "resid_pre":
                handles.append(blocks[block].register_forward_pre_hook(_on_input(tap, device)))
            else:
                assert parts is not None
                handles += _within(parts(block), site, tap, device)
        yield
    finally:
        finish([handle.remove for handle in handles])


def _within(parts: BlockParts, site: Site, tap: Tap, device: torch.device) -> list[Any]:
    """The hooks of a tap on a site within a block."""
    if site == "attn_z":
        projection = parts.module(parts.projection)
        return [projection.register_forward_pre_hook(_on_input(tap, device))]
    if site == "attn_out":
        return [parts.added_by_attention.register_forward_hook(_on_output(tap, device))]
    if site == "mlp_out":
        return [parts.added_by_mlp.register_forward_hook(_on_output(tap, device))]
    return _around_mlp(parts, tap, device)


def _around_mlp(parts: BlockParts, tap: Tap, device: torch.device) -> list[Any]:
    """A transcoder's tap sees what the MLP reads and then, beside it, what it adds to the stream."""
    read: list[Tensor] = []

    def keep(held: Tensor) -> None:
        read[:] = [held]

    def see(added: Tensor) -> Tensor | None:
        changed = tap(torch.cat([*read, added], -1))
        return None if changed is None else changed[..., -added.shape[-1] :]

    return [
        parts.module(parts.mlp).register_forward_pre_hook(_on_input(keep, device)),
        parts.added_by_mlp.register_forward_hook(_on_output(see, device)),
    ]


def capture(
    blocks: Iterable[int], streams: dict[int, Tensor], positions: Tensor | None = None
) -> dict[int, Tap]:
    """Taps that put what the site of each of these blocks holds into `streams`, and change nothing.

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


def _on_output(tap: Tap, device: torch.device) -> Callable[..., Any]:
    # A block returns its residual stream in transformers 5, and a tuple that begins with it in 4; so do
    # attention and mixtures of experts. Where a model is spread over devices a tap sees the stream on the
    # model's first one.
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        changed = tap(stream.to(device))
        if changed is None:
            return None
        changed = changed.to(stream.device)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


def _on_input(tap: Tap, device: torch.device) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        stream, *rest = inputs
        changed = tap(stream.to(device))
        return None if changed is None else (changed.to(stream.device), *rest)

    return hook
