"""Stand-ins for a model's own blocks and cache, by which a replay leaves out what it need not compute.

Left out are blocks whose output is known, columns that nothing reads, and columns whose keys and
values were kept. `harness.models.language_model` puts them in place.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache


class Given(nn.Module):
    """Stands for a block whose output is known."""

    def __init__(self, residual: Tensor | None) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        """The known output; without one, what came in."""
        return hidden_states if self.residual is None else self.residual


class Trimmed(nn.Module):
    """A last block, computed only at the columns that are read, which come last.

    Nothing but their keys and values is wanted of the others: the block is left as soon as it hands
    these to the cache.
    """

    def __init__(self, block: nn.Module, reads: int) -> None:
        super().__init__()
        self.block, self.reads = block, reads

    def forward(
        self,
        hidden_states: Tensor,
        *,
        attention_mask: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        position_ids: Tensor,
        past_key_values: "Memory",
        **rest: Any,
    ) -> Any:
        """The block's output at the last columns, as many as are read."""
        cut = hidden_states.shape[1] - self.reads

        def run(columns: slice) -> Any:
            return self.block(
                hidden_states[:, columns],
                attention_mask=attention_mask[:, :, columns],
                position_embeddings=tuple(part[:, columns] for part in position_embeddings),
                position_ids=position_ids[:, columns],
                past_key_values=past_key_values,
                **rest,
            )

        if cut > 0:
            past_key_values.set_aside = True
            with suppress(_SetAside):
                run(slice(None, cut))
        return run(slice(max(cut, 0), None))


class _SetAside(Exception):
    """The keys and values are in; the rest of the block is not wanted."""


class Memory(DynamicCache):
    """Keys and values of one forward, every column of them, beyond a sliding window too."""

    set_aside = False

    def __init__(self) -> None:
        super().__init__()
        self._aside: tuple[Tensor, Tensor] | None = None

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any) -> Any:
        """Called by a block's attention with the keys and values of its own columns."""
        if self.set_aside:
            self.set_aside, self._aside = False, (keys, values)
            raise _SetAside
        if self._aside is not None:
            keys, values = (
                torch.cat(parts, 2) for parts in zip(self._aside, (keys, values), strict=True)
            )
            self._aside = None
        return self.extended(keys, values, layer_idx)

    def extended(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """All that a block's queries may attend to."""
        raise NotImplementedError


class Recording(Memory):
    """Keeps what the blocks above one computed."""

    def __init__(self, above: int) -> None:
        super().__init__()
        self._above = above
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def extended(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Nothing lies before."""
        if layer > self._above:
            self.kept[layer] = keys, values
        return keys, values


class Replayed(Memory):
    """Puts the kept columns of each replayed row before its own, block by block."""

    def __init__(self, kept: Mapping[int, tuple[Tensor, Tensor]], row: Tensor, known: int) -> None:
        super().__init__()
        self._kept, self._row, self._known = kept, row, known

    def extended(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The kept columns, then the row's own."""
        old_keys, old_values = (kept[:, :, : self._known][self._row] for kept in self._kept[layer])
        return torch.cat([old_keys, keys], 2), torch.cat([old_values, values], 2)
