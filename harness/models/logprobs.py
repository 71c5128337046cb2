"""From positions to one value a feature, and from distributions to scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.padded_batch import Reads


def token_logprobs(logprobs: Tensor, reads: Reads, row: Tensor) -> Tensor:
    """The log-probability of each token of each answer, (n, tokens), in nats; NaN where none is.

    `logprobs` (n, reads, vocabulary) are those of the rows `row` (n,) of a batch, the last read
    last.
    """
    here = torch.arange(len(row), device=row.device)[:, None]
    found = logprobs[here, reads.at[row], reads.token[row].clamp(min=0)]
    return found.where(reads.token[row] >= 0, torch.nan)


def by_answer(scores: Tensor, answer: Tensor) -> list[list[Tensor]]:
    """Scores (rows, tokens) as a list a row of each answer's own; `answer` as in `Reads`."""
    return [
        [row[of == number] for number in range(int(of.max()) + 1)] if len(of) else []
        for row, of in zip(scores, answer, strict=True)
    ]


@dataclass(frozen=True)
class Shift:
    """How far distributions moved at each read, (n, reads): KL in nats, and another top token."""

    kl: Tensor
    flipped: Tensor


def shift(before: Tensor, after: Tensor) -> Shift:
    """From log-probabilities (n, reads, vocabulary): KL(before || after), and whether argmax moved."""
    kl = torch.nn.functional.kl_div(after, before, log_target=True, reduction="none").sum(-1)
    return Shift(kl.clamp(min=0), before.argmax(-1) != after.argmax(-1))
