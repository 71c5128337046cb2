"""The part of a forward that an edit can change, and nothing else.

A replay computes, for each of its rows, the columns from the first edited one on. What lies before
is taken from the attention cache of the forward it replays. The last token of an answer is left out:
nothing is read from it and nothing attends to it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.padded_batch import Batch, Reads, sees


@dataclass(frozen=True)
class Tail:
    """Which columns of which rows of a batch are computed again.

    `row` (n,) may name a row any number of times. `column` (n, length) are its columns, those whose
    logits are read last; short ones are filled up on the left with -1. Columns below `known` are in
    the cache; row i computes its columns from `first[i]` on. `reads` is how many are read.
    """

    row: Tensor
    first: Tensor
    column: Tensor
    known: int
    reads: int

    def of(self, values: Tensor, filler: int = 0) -> Tensor:
        """Values by row and column of the batch, at the columns of the tail: (n, length, ...)."""
        found = values[self.row[:, None], self.column.clamp(min=0)]
        missing = (self.column < 0).view(*self.column.shape, *[1] * (found.ndim - 2))
        return found.masked_fill(missing, filler)

    def visible(self, batch: Batch, window: int | None) -> Tensor:
        """What each column may attend to, (n, length, known + length): the cache, then the tail."""
        branch, place = self.of(batch.branch, -1), self.of(batch.place)
        cached = batch.branch[self.row, : self.known].clone()
        computed = torch.arange(self.known, device=cached.device) >= self.first[:, None]
        cached[computed] = -1
        keys = (
            torch.cat([cached, branch], 1),
            torch.cat([batch.place[self.row, : self.known], place], 1),
        )
        seen = sees(branch, place, *keys, window)
        length = self.column.shape[1]
        seen[:, :, self.known :] |= torch.eye(length, dtype=torch.bool, device=seen.device)
        return seen


def first_read(reads: Reads, columns: int) -> Tensor:
    """The first column of each row whose logits predict an answer's token, (rows,)."""
    return reads.column.masked_fill(reads.column < 0, columns).amin(1)


def lengths(batch: Batch, reads: Reads) -> Tensor:
    """How many columns a replay of a row from a column computes, (rows, columns)."""
    return _needed(batch, reads).flip(1).cumsum(1).flip(1)


def tail_of(batch: Batch, reads: Reads, row: Tensor, first: Tensor) -> Tail:
    """The tail of each of these rows from its first column, which lies before all that it reads."""
    columns = torch.arange(batch.columns, device=row.device)
    needed = _needed(batch, reads)[row] & (columns >= first[:, None])
    # Unneeded columns first, then those that are only attended to, then those that are read.
    rank = columns + batch.columns * (needed.long() + (needed & _read(batch, reads)[row]).long())
    length = int(needed.sum(1).max())
    chosen = rank.argsort(1)[:, batch.columns - length :]
    return Tail(
        row=row,
        first=first,
        column=chosen.where(needed.gather(1, chosen), -1),
        known=int(first.max()),
        reads=int((reads.column[row] >= 0).sum(1).max()),
    )


def compact(batch: Batch, reads: Reads) -> tuple[Batch, Reads]:
    """The same rows without an answer's last token, from which nothing is read.

    What is read comes last in every row, and padding first.
    """
    row = torch.arange(len(batch), device=batch.ids.device)
    tail = tail_of(batch, reads, row, torch.zeros_like(row))
    column = torch.arange(tail.column.shape[1], device=row.device)
    found = torch.where(reads.column >= 0, column[-reads.column.shape[1] :], -1)
    moved = torch.full((len(row), batch.columns + 1), 0, device=row.device)
    moved.scatter_(
        1, tail.column.where(tail.column >= 0, batch.columns), column.expand_as(tail.column)
    )
    return (
        Batch(
            ids=tail.of(batch.ids),
            branch=tail.of(batch.branch, -1),
            place=tail.of(batch.place),
            source=moved.gather(1, tail.of(batch.source).clamp(min=0)),
        ),
        Reads(found, reads.token, reads.at, reads.answer),
    )


def _needed(batch: Batch, reads: Reads) -> Tensor:
    """Columns that are read or attended to: the prompt's, and those that predict a token."""
    return (batch.branch == 0) | _read(batch, reads)


def _read(batch: Batch, reads: Reads) -> Tensor:
    found = torch.zeros(len(batch), batch.columns + 1, dtype=torch.bool, device=batch.ids.device)
    found.scatter_(1, reads.column.where(reads.column >= 0, batch.columns), True)
    return found[:, :-1]
