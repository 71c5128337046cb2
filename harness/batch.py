"""Rows of tokens as padded tensors, and the positions in them that are read or edited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from harness.spec import Where

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Tokens:
    """Token ids of a prompt and, after the first `prompt` of them, of an answer. BOS is first."""

    ids: tuple[int, ...]
    prompt: int

    @property
    def answer(self) -> tuple[int, ...]:
        return self.ids[self.prompt :]


@dataclass(frozen=True)
class Batch:
    """Padded rows. `ids` and `mask` are (rows, tokens); `start`, `prompt`, `length` are (rows,).

    `start` is the column of BOS, `prompt` and `length` count tokens from there.
    """

    ids: Tensor
    mask: Tensor
    start: Tensor
    prompt: Tensor
    length: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def place(self) -> Tensor:
        """Each column's distance from its row's BOS, (rows, tokens); negative on left padding."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) - self.start[:, None]

    def rows(self, chosen: Tensor) -> "Batch":
        """Some of the rows, with the same padding: the geometry stays the same."""
        return Batch(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def pad(
    rows: Sequence[Tokens], *, pad_id: int, side: Side = "left", device: str | torch.device = "cpu"
) -> Batch:
    length = torch.tensor([len(row.ids) for row in rows])
    width = int(length.max())
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    start = width - length if side == "left" else torch.zeros_like(length)
    for i, row in enumerate(rows):
        ids[i, start[i] : start[i] + len(row.ids)] = torch.tensor(row.ids)
    place = torch.arange(width) - start[:, None]
    mask = (place >= 0) & (place < length[:, None])
    prompt = torch.tensor([row.prompt for row in rows])
    return Batch(*(tensor.to(device) for tensor in (ids, mask, start, prompt, length)))


def where(batch: Batch, at: Where) -> Tensor:
    """The positions that are meant, (rows, tokens) bool: never BOS, never padding."""
    place, prompt = batch.place, batch.prompt[:, None]
    real = batch.mask & (place > 0)
    if at == "last_prompt_token":
        return real & (place == prompt - 1)
    if at == "prompt":
        return real & (place < prompt)
    if at == "answer":
        return real & (place >= prompt)
    return real
