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

from harness.spec import Where

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

        A key must be real, not after the query, on the prompt or the query's own answer, and less
        than `window` places before it. Padding sees itself, so that no softmax is empty.
        """
        query, key = self.branch[:, :, None], self.branch[:, None, :]
        distance = self.place[:, :, None] - self.place[:, None, :]
        seen = (key >= 0) & (query >= 0) & (distance >= 0) & ((key == 0) | (key == query))
        if window is not None:
            seen &= distance < window
        return seen | torch.eye(self.columns, dtype=torch.bool, device=seen.device)


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


def where(batch: Batch, at: Where) -> Tensor:
    """The positions that are meant, (rows, columns) bool: never BOS, never padding.

    `answer` and `all` are the tokens of every candidate answer in the row.
    """
    real = (batch.branch >= 0) & (batch.place > 0)
    if at == "last_prompt_token":
        return real & (batch.branch == 0) & (batch.place == batch.last[:, None])
    if at == "prompt":
        return real & (batch.branch == 0)
    if at == "answer":
        return real & (batch.branch > 0)
    return real


def answer_logprobs(logits: Tensor, first: int, batch: Batch) -> list[list[Tensor]]:
    """For each row and each of its answers, the log-probability of each token, in float32 nats.

    `logits` (rows, columns, vocabulary) begin at column `first` of the batch. log-softmax is taken
    in float32, of the model's own logits.
    """
    row, column = (batch.branch > 0).nonzero(as_tuple=True)
    logprobs = logits[row, batch.source[row, column] - first].float().log_softmax(-1)
    flat = logprobs.gather(-1, batch.ids[row, column][:, None])[:, 0]
    answers = int(batch.branch.max())
    sizes = [
        int((batch.branch[i] == number).sum())
        for i in range(len(batch))
        for number in range(1, answers + 1)
    ]
    found = iter(flat.split(sizes))
    return [
        [answer for answer in (next(found) for _ in range(answers)) if len(answer)]
        for _ in range(len(batch))
    ]
