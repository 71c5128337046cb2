"""Log-probabilities of the answers' tokens, and how far the distributions moved that predict them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.forward_types import AnswerScores
from harness.models.padded_batch import Reads
from harness.models.transfer import send


def token_logprobs(logprobs: Tensor, reads: Reads, row: Tensor) -> Tensor:
    """The log-probability of each token of each answer, (n, tokens), in nats; NaN where none is.

    `logprobs` (n, reads, vocabulary), on any device, are those of the rows `row` (n,) of a batch, the
    last read last; a replay may have fewer of them than the batch, as reads are counted from the end.
    """
    at, token = send(logprobs.device, reads.at[row], reads.token[row])
    here = torch.arange(len(row), device=logprobs.device)[:, None]
    scores = logprobs[here, at, token.clamp(min=0)]
    return scores.where(token >= 0, torch.nan)


def split_by_answer(scores: Tensor, answer: Tensor) -> AnswerScores:
    """Scores (rows, tokens) as a list a row of each answer's own; `answer` as in `Reads`."""
    return [
        [row[of == number] for number in range(int(of.max()) + 1)] if len(of) else []
        for row, of in zip(scores, answer, strict=True)
    ]


@dataclass(frozen=True)
class DistributionChange:
    """How far distributions moved at each read, (n, reads): KL in nats, and another top token."""

    kl: Tensor
    flipped: Tensor


def compare_distributions(before: Tensor, after: Tensor) -> DistributionChange:
    """KL(before || after), and whether argmax moved, of log-probabilities (..., reads, vocabulary)."""
    kl = torch.nn.functional.kl_div(after, before, log_target=True, reduction="none").sum(-1)
    return DistributionChange(kl.clamp(min=0), before.argmax(-1) != after.argmax(-1))
