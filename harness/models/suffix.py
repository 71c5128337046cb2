"""The part of a forward that an edit can change, and nothing else.

A replay computes, for each of its rows, the columns from the first edited one on. What lies before
is taken from the attention cache of the forward it replays. The last token of an answer is left out:
nothing is read from it and nothing attends to it.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.models.attention_masks import Sight
from harness.models.padded_batch import Batch, Reads
from harness.models.transfer import send


@dataclass(frozen=True)
class Suffix:
    """Which columns of which rows of a batch are computed again.

    `row` (n,) may name a row any number of times. `column` (n, length) are its columns, those whose
    logits are read last; short ones are filled up on the left with -1. Columns below `cached` are in
    the cache; row i computes its columns from `first[i]` (n,) on. `reads` is how many are read. The
    tensors are on the processor: `on` moves them.
    """

    row: Tensor
    first: Tensor
    column: Tensor
    cached: int
    reads: int

    def on(self, device: torch.device) -> "Suffix":
        """The same on another device, where `of` picks from what lies there."""
        row, first, column = send(device, self.row, self.first, self.column)
        return replace(self, row=row, first=first, column=column)

    def of(self, values: Tensor, filler: int = 0) -> Tensor:
        """Values (rows, columns, ...) of the batch at the columns of the suffix: (n, length, ...)."""
        chosen = values[self.row[:, None], self.column.clamp(min=0)]
        missing = (self.column < 0).view(*self.column.shape, *[1] * (chosen.ndim - 2))
        return chosen.masked_fill(missing, filler)

    def sight(self, batch: Batch) -> Sight:
        """What each column may attend to, of (n, cached + length) keys: the cache, then the suffix."""
        branch, place = self.of(batch.branch, -1), self.of(batch.place)
        # The cache ends where the last of the rows begins: what another row computes itself is in the
        # cache as well, as it was before the edit, and is hidden from that row.
        cached = batch.branch[self.row, : self.cached].clone()
        computed = torch.arange(self.cached, device=cached.device) >= self.first[:, None]
        cached[computed] = -1
        return Sight(
            branch,
            place,
            torch.cat([cached, branch], 1),
            torch.cat([batch.place[self.row, : self.cached], place], 1),
        )


def first_read(reads: Reads, columns: int) -> Tensor:
    """The first column of each row whose logits predict an answer's token, (rows,).

    `columns` is how many the batch has, which stands where a row reads none.
    """
    return reads.column.masked_fill(reads.column < 0, columns).amin(1)


def lengths(batch: Batch, reads: Reads) -> Tensor:
    """How many columns a replay of a row from a column computes, (rows, columns)."""
    return _needed(batch, reads).flip(1).cumsum(1).flip(1)


def suffix_of(batch: Batch, reads: Reads, row: Tensor, first: Tensor) -> Suffix:
    """The suffix of each of the rows `row` (n,), from its column in `first` (n,).

    That column must lie before, or be, the first one that is read of its row.
    """
    columns = torch.arange(batch.columns, device=row.device)
    needed = _needed(batch, reads)[row] & (columns >= first[:, None])
    # One sort packs every row to the right. A column's rank is its number, raised by a whole row's
    # length where it is needed and once more where it is read: unneeded columns come first, then those
    # that are only attended to, then those that are read, each kind in its order. So the reads of all
    # rows lie in the same last columns, where the last block and the vocabulary are computed alone,
    # and the first columns, which are unneeded in every row, are cut off.
    rank = columns + batch.columns * (needed.long() + (needed & _read(batch, reads)[row]).long())
    length = int(needed.sum(1).max())
    chosen = rank.argsort(1)[:, batch.columns - length :]
    return Suffix(
        row=row,
        first=first,
        column=chosen.where(needed.gather(1, chosen), -1),
        cached=int(first.max()),
        reads=int((reads.column[row] >= 0).sum(1).max()),
    )


def compact(batch: Batch, reads: Reads) -> tuple[Batch, Reads]:
    """The same rows without an answer's last token, from which nothing is read.

    What is read comes last in every row, and padding first. Columns are numbered anew, in the batch
    as in the reads.
    """
    # The suffix from the first column on is every column that is needed, in the right order.
    row = torch.arange(len(batch), device=batch.ids.device)
    whole = suffix_of(batch, reads, row, torch.zeros_like(row))
    column = torch.arange(whole.column.shape[1], device=row.device)
    read_column = torch.where(reads.column >= 0, column[-reads.column.shape[1] :], -1)
    # From old column to new one; padding is sent to a column of its own, past the last.
    moved = torch.full((len(row), batch.columns + 1), 0, device=row.device)
    moved.scatter_(
        1, whole.column.where(whole.column >= 0, batch.columns), column.expand_as(whole.column)
    )
    return (
        Batch(
            ids=whole.of(batch.ids),
            branch=whole.of(batch.branch, -1),
            place=whole.of(batch.place),
            role=whole.of(batch.role),
            predictor=moved.gather(1, whole.of(batch.predictor).clamp(min=0)),
        ),
        Reads(read_column, reads.token, reads.at, reads.answer),
    )


def _needed(batch: Batch, reads: Reads) -> Tensor:
    """Columns that are read or attended to: the prompt's, and those that predict a token."""
    return (batch.branch == 0) | _read(batch, reads)


def _read(batch: Batch, reads: Reads) -> Tensor:
    """Columns that are read, (rows, columns) bool."""
    # What `reads` is filled up with is sent to a column past the last, which is then dropped.
    read = torch.zeros(len(batch), batch.columns + 1, dtype=torch.bool, device=batch.ids.device)
    read.scatter_(1, reads.column.where(reads.column >= 0, batch.columns), True)
    return read[:, :-1]
