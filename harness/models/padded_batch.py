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

from harness.models.attention_masks import Sight
from harness.specs.chat import ROLES
from harness.specs.fields import NamedPositions

PaddingSide = Literal["left", "right"]
USER, ASSISTANT = (1 + ROLES.index(role) for role in ("user", "assistant"))


@dataclass(frozen=True)
class Tokens:
    """Token ids of a prompt, BOS first, and of each candidate answer.

    `roles` are whose word each token of a chat is: 1 and up as in `ROLES`, 0 of what a template puts between.
    """

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...] = ()
    roles: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


@dataclass(frozen=True)
class Batch:
    """Padded rows, each tensor (rows, columns) of int64, on the processor.

    `branch` is -1 on padding, 0 on the prompt and 1, 2 ... on the answers; `place` is a token's
    distance from BOS; `predictor` is the column whose logits predict an answer's token; `role` is as in
    `Tokens`, 0 where there is no chat, and of answers.
    """

    ids: Tensor
    branch: Tensor
    place: Tensor
    predictor: Tensor
    role: Tensor

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
        """The first column whose logits predict an answer's token; there must be an answer."""
        return int(self.predictor[self.branch > 0].min())

    @property
    def sight(self) -> Sight:
        """What each column may attend to: all columns are queries and keys."""
        return Sight(self.branch, self.place, self.branch, self.place)


def pad(rows: Sequence[Tokens], *, pad_id: int, side: PaddingSide = "left") -> Batch:
    """Rows as one batch; `side` is where the shorter ones are filled up."""
    columns = max(map(len, rows))
    ids = torch.full((len(rows), columns), pad_id, dtype=torch.long)
    branch = torch.full_like(ids, -1)
    place = torch.zeros_like(ids)
    predictor = torch.zeros_like(ids)
    role = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        at = columns - len(row) if side == "left" else 0
        last = at + len(row.prompt) - 1
        role[i, at : at + len(row.roles)] = torch.tensor(row.roles, dtype=torch.long)
        for number, part in enumerate((row.prompt, *row.answers)):
            end = at + len(part)
            ids[i, at:end] = torch.tensor(part)
            branch[i, at:end] = number
            # Every answer begins where the prompt ends, whatever stands beside it in the row.
            start = 0 if number == 0 else len(row.prompt)
            place[i, at:end] = torch.arange(start, start + len(part))
            predictor[i, at:end] = torch.arange(at - 1, end - 1)
            if number:
                predictor[i, at] = last
            at = end
    return Batch(ids, branch, place, predictor, role)


def positions_of(batch: Batch, at: NamedPositions | tuple[int, ...]) -> Tensor:
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
    if at == "last_user_token":
        asked = prompt & (batch.role == USER)
        return asked & (batch.place == batch.place.masked_fill(~asked, -1).amax(1, keepdim=True))
    if at == "assistant":
        return real & ((batch.branch > 0) | (batch.role == ASSISTANT))
    if at == "answer":
        return real & (batch.branch > 0)
    return real


def rows_of(positions: Tensor, rows: Sequence[int]) -> Tensor:
    """Whose each position is, (n_positions,), in the order of `values[positions]`.

    `positions` (rows, columns) bool are of a batch that was made of the rows numbered `rows`.
    """
    return torch.tensor(rows)[positions.nonzero()[:, 0]]


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
    """Where the answers of a batch are read, and which token is looked up in each read."""
    answered = [(branch > 0).nonzero()[:, 0] for branch in batch.branch]
    predictors = [
        predictor[columns] for predictor, columns in zip(batch.predictor, answered, strict=True)
    ]
    # Sorted, and each once: the first tokens of all answers are predicted by one distribution, which
    # over a vocabulary of 256,000 is worth sharing.
    distinct = [columns.unique() for columns in predictors]
    return Reads(
        # Filled up on the left, by turning round twice, and counted from the right: a read has the same
        # number in every batch and replay that ends with it, however many reads come before.
        column=_filled([columns.flip(0) for columns in distinct]).flip(1),
        token=_filled([ids[columns] for ids, columns in zip(batch.ids, answered, strict=True)]),
        at=_filled(
            [
                torch.searchsorted(columns, predictor) - len(columns)
                for columns, predictor in zip(distinct, predictors, strict=True)
            ]
        ),
        answer=_filled(
            [branch[columns] - 1 for branch, columns in zip(batch.branch, answered, strict=True)]
        ),
    )


def _filled(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=-1)
