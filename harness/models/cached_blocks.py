"""Stand-ins for a model's own blocks and cache, by which a replay leaves out what it need not compute.

Left out are blocks whose output is known, columns that nothing reads, and columns whose keys and
values are cached.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from harness.models.architecture import Family
from harness.models.hooks import finish


@contextmanager
def skip_blocks(
    blocks: nn.ModuleList, last: int, residual: Tensor, family: Family
) -> Iterator[None]:
    """Blocks up to `last` compute nothing, and `residual` (n, columns, width) comes out of them."""
    known = [None] * last + [residual]
    stand_ins = {i: KnownOutput(output, family.tupled) for i, output in enumerate(known)}
    with _replace_blocks(blocks, stand_ins):
        yield


@contextmanager
def end_after(blocks: nn.ModuleList, last: int, family: Family) -> Iterator[None]:
    """Blocks after `last` compute nothing: what comes out of it is what comes out of all."""
    passing = {i: KnownOutput(None, family.tupled) for i in range(last + 1, len(blocks))}
    with _replace_blocks(blocks, passing):
        yield


@contextmanager
def trim_last_block(blocks: nn.ModuleList, reads: int, family: Family) -> Iterator[None]:
    """The last block is computed only at the last `reads` columns."""
    last = len(blocks) - 1
    with _replace_blocks(blocks, {last: TrimmedBlock(blocks[last], reads, family.shaped)}):
        yield


@contextmanager
def _replace_blocks(blocks: nn.ModuleList, stand_ins: Mapping[int, nn.Module]) -> Iterator[None]:
    before = {i: blocks[i] for i in stand_ins}
    try:
        for i, stand_in in stand_ins.items():
            blocks[i] = stand_in
        yield
    finally:
        finish([partial(blocks.__setitem__, i, block) for i, block in before.items()])


class KnownOutput(nn.Module):
    """Stands for a block whose output is known."""

    def __init__(self, residual: Tensor | None, tupled: bool = False) -> None:
        super().__init__()
        self.residual, self.tupled = residual, tupled

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        """The known output (rows, columns, width), alone or in a tuple; without one, what came in."""
        residual = hidden_states if self.residual is None else self.residual
        return (residual, None) if self.tupled else residual


class TrimmedBlock(nn.Module):
    """A last block, computed only at the columns that are read, which come last.

    Of the others nothing but their keys and values is wanted, to which the read ones attend. What is
    `shaped` has all columns, of which the others are 0.
    """

    def __init__(self, block: nn.Module, reads: int, shaped: bool = False) -> None:
        super().__init__()
        self.block, self.reads, self.shaped = block, reads, shaped
        (_, *self._names) = inspect.signature(block.forward).parameters

    def forward(self, hidden_states: Tensor, *given: Any, **named: Any) -> Any:
        """The block's output at the last columns, as many as are read: (rows, reads, width).

        `hidden_states` (rows, columns, width); what else is `given` and `named` is as the block takes it.
        """
        named |= dict(zip(self._names, given, strict=False))
        # A cache is false where it says that it is empty.
        caches = [one for one in named.values() if isinstance(one, KeyValueCache)]
        cut = hidden_states.shape[1] - self.reads

        def run(columns: slice) -> Any:
            parts = {name: _at_columns(name, value, columns) for name, value in named.items()}
            return self.block(hidden_states[:, columns], **parts)

        if cut > 0:
            # The block's own code makes the keys and values, with its norms and rotations, and hands
            # them to the cache just before it attends. There an exception leaves it: what follows at
            # these columns, attention and MLP and by far the most of the block, would go nowhere, as
            # nothing reads them and no block comes after.
            caches[0].leave_block = True
            with suppress(_BlockLeft):
                run(slice(None, cut))
        output = run(slice(max(cut, 0), None))
        if not self.shaped or cut <= 0:
            return output
        stream = output[0] if isinstance(output, tuple) else output
        stream = nn.functional.pad(stream, (0, 0, cut, 0))
        return (stream, *output[1:]) if isinstance(output, tuple) else stream


def _at_columns(name: str, value: Any, columns: slice) -> Any:
    """An argument of a block at some columns of those that it has."""
    if isinstance(value, tuple) and name == "position_embeddings":
        return tuple(part[:, columns] for part in value)
    if not isinstance(value, Tensor):
        return value
    if name == "attention_mask":
        return value[:, :, columns]
    return value[:, columns] if name == "position_ids" else value


class _BlockLeft(Exception):
    """The keys and values are in; the rest of the block is not wanted."""


class KeyValueCache(DynamicCache):
    """Keys and values of one forward, every column of them, beyond a sliding window too.

    Where `leave_block` is set, the next block is left as soon as its keys and values are in. They
    then come before those that the same block hands over next.
    """

    leave_block = False

    def __init__(self) -> None:
        super().__init__()
        self._before: tuple[Tensor, Tensor] | None = None

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any) -> Any:
        """Called by a block's attention with (n, heads, columns, head width) of its own columns."""
        if self.leave_block:
            self.leave_block, self._before = False, (keys, values)
            raise _BlockLeft
        if self._before is not None:
            keys, values = (
                torch.cat(parts, 2) for parts in zip(self._before, (keys, values), strict=True)
            )
            self._before = None
        return self.extend(keys, values, layer_idx)

    def extend(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """All that a block's queries may attend to: keys and values (n, heads, keys, head width).

        `keys` and `values` (n, heads, columns, head width) are of the columns that are computed.
        """
        raise NotImplementedError


class RecordingCache(KeyValueCache):
    """Keeps what the blocks above one computed, in `keys_and_values` by block."""

    def __init__(self, above: int) -> None:
        super().__init__()
        self._above = above
        self.keys_and_values: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The same keys and values, noted: every column is computed, and none lies before them."""
        if layer > self._above:
            self.keys_and_values[layer] = keys, values
        return keys, values


class ReplayCache(KeyValueCache):
    """Puts the first `columns` cached columns of each replayed row before its own, block by block.

    `row` (n,) are the replayed rows of the forward that `keys_and_values` are of.
    """

    def __init__(
        self, keys_and_values: Mapping[int, tuple[Tensor, Tensor]], row: Tensor, columns: int
    ) -> None:
        super().__init__()
        self._cached, self._row, self._columns = keys_and_values, row, columns

    def extend(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The cached columns of each row, then its own: (n, heads, cached + columns, head width)."""
        # Of a model that is spread over devices each block's are on its own.
        row = self._row.to(keys.device)
        cached_keys, cached_values = (
            cached[:, :, : self._columns][row] for cached in self._cached[layer]
        )
        return torch.cat([cached_keys, keys], 2), torch.cat([cached_values, values], 2)
