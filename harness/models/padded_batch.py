"""Rows of tokens as padded tensors, and the positions in them that are read or edited.

A row is a prompt and any number of candidate answers side by side. Each answer continues the prompt
and sees no other answer: its places begin where the prompt ends, and the attention mask says so. A
prompt is computed once, however many answers are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from harness.specs.fields import NamedPositions

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Tokens:
    """Token ids of a prompt, BOS first, and of each candidate answer."""

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


@dataclass(frozen=True)
class Batch:
    """Padded rows, each tensor (rows, columns).

    `branch` is -1 on padding, 0 on the prompt and 1, 2 ... on the answers; `place` is a token's
    distance from BOS; `source` is the column whose logits predict an answer's token.
    """

    ids: Tensor
    branch: Tensor
    place: Tensor
    source: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def columns(self) -> int:
        """How many tokens the longest row has."""
        return self.ids.shape[1]

    @property
    def last(self) -> Tensor:
        """The place of each row's last prompt token, (rows,)."""
        return self.place.masked_fill(self.branch != 0, -1).amax(1)

    @property
    def earliest(self) -> int:
        """The first column whose logits predict an answer's token."""
        return int(self.source[self.branch > 0].min())

    def visible(self, window: int | None = None) -> Tensor:
        """What each column may attend to, (rows, columns, columns) bool: query, then key.

        Padding sees itself, so that no softmax is empty.
        """
        seen = sees(self.branch, self.place, self.branch, self.place, window)
        return seen | torch.eye(self.columns, dtype=torch.bool, device=seen.device)


def sees(
    branch: Tensor, place: Tensor, key_branch: Tensor, key_place: Tensor, window: int | None
) -> Tensor:
    """Which keys a query may attend to, (rows, queries, keys) bool.

    A key must be real, not after the query, on the prompt or the query's own answer, and less than
    `window` places before it.
    """
    query, key = branch[:, :, None], key_branch[:, None, :]
    distance = place[:, :, None] - key_place[:, None, :]
    seen = (key >= 0) & (query >= 0) & (distance >= 0) & ((key == 0) | (key == query))
    return seen if window is None else seen & (distance < window)


def pad(
    rows: Sequence[Tokens], *, pad_id: int, side: Side = "left", device: str | torch.device = "cpu"
) -> Batch:
    """Rows as one batch; `side` is where the shorter ones are filled up."""
    columns = max(map(len, rows))
    ids = torch.full((len(rows), columns), pad_id, dtype=torch.long)
    branch = torch.full_like(ids, -1)
    place = torch.zeros_like(ids)
    source = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        at = columns - len(row) if side == "left" else 0
        last = at + len(row.prompt) - 1
        for number, part in enumerate((row.prompt, *row.answers)):
            end = at + len(part)
            ids[i, at:end] = torch.tensor(part)
            branch[i, at:end] = number
            start = 0 if number == 0 else len(row.prompt)
            place[i, at:end] = torch.arange(start, start + len(part))
            source[i, at:end] = torch.arange(at - 1, end - 1)
            if number:
                source[i, at] = last
            at = end
    return Batch(*(tensor.to(device) for tensor in (ids, branch, place, source)))


def where(batch: Batch, at: NamedPositions | tuple[int, ...]) -> Tensor:
    """The positions that are meant, (rows, columns) bool: never BOS, never padding.

    `answer` and `all` are the tokens of every candidate answer in the row. Numbers count the
    prompt's tokens: 1 is the first after BOS, -1 the last; a row that is too short lacks them.
    """
    real = (batch.branch >= 0) & (batch.place > 0)
    prompt = real & (batch.branch == 0)
    if at == "last_prompt_token":
        at = (-1,)
    if not isinstance(at, str):
        ends = batch.last[:, None] + 1
        wanted = [batch.place == (place if place > 0 else ends + place) for place in at]
        return prompt & torch.stack(wanted).any(0)
    if at == "prompt":
        return prompt
    if at == "answer":
        return real & (batch.branch > 0)
    return real


@dataclass(frozen=True)
class Reads:
    """Which columns predict the answers' tokens.

    `column` (rows, reads) are the distinct columns in their order, filled up on the left with -1.
    `token` (rows, tokens) are the ids of all the answers' tokens, one answer after the other, filled
    up on the right with -1; `at` counts the read that predicts each from the last one, which is -1;
    `answer` is the answer it belongs to, from 0.
    """

    column: Tensor
    token: Tensor
    at: Tensor
    answer: Tensor


def reads_of(batch: Batch) -> Reads:
    """Where the answers of a batch are read."""
    spoken = [(branch > 0).nonzero()[:, 0] for branch in batch.branch]
    sources = [source[columns] for source, columns in zip(batch.source, spoken, strict=True)]
    distinct = [source.unique() for source in sources]
    return Reads(
        column=_filled([columns.flip(0) for columns in distinct]).flip(1),
        token=_filled([ids[at] for ids, at in zip(batch.ids, spoken, strict=True)]),
        at=_filled(
            [torch.searchsorted(d, s) - len(d) for d, s in zip(distinct, sources, strict=True)]
        ),
        answer=_filled([of[at] - 1 for of, at in zip(batch.branch, spoken, strict=True)]),
    )


def _filled(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=-1)
