"""What interventions did to the answers of a batch, token by token, and summed to metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.models.logprobs import compare_distributions
from harness.models.padded_batch import Reads
from harness.specs.metrics import metrics_of
from harness.specs.prompt import Label

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RowScores:
    """One row under one edit or none: `logprobs` (reads, vocabulary), `tokens` (tokens,), in nats.

    The last read is last. A replay has fewer reads than the batch where its rows need no more.
    """

    logprobs: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class ReplayScores:
    """What interventions did to the rows of a batch.

    `before` and `after` are log-probabilities (interventions, rows, tokens) in nats, and `answer` (rows,
    tokens) says whose; `kl` in nats and `flipped` are (interventions, rows, reads), `at` (rows, tokens)
    the read that predicts a token, from the last; `active` (interventions, rows) bool says what was
    replayed at all.
    """

    before: Tensor
    after: Tensor
    kl: Tensor
    flipped: Tensor
    active: Tensor
    answer: Tensor
    at: Tensor

    @classmethod
    def unedited(cls, tokens: Tensor, reads: Reads, interventions: int) -> "ReplayScores":
        """Where no intervention does anything; `tokens` (rows, tokens) are the rows' own scores."""
        size = (interventions, *tokens.shape)
        kl = torch.zeros(*size[:2], reads.column.shape[1], device=tokens.device)
        return cls(
            before=tokens.expand(size).clone(),
            after=tokens.expand(size).clone(),
            kl=kl,
            flipped=torch.zeros_like(kl, dtype=torch.bool),
            active=torch.zeros(size[:2], dtype=torch.bool),
            answer=reads.answer,
            at=reads.at,
        )

    def record(self, intervention: int, row: int, before: RowScores, after: RowScores) -> None:
        """Put in what one intervention, which was replayed, did to one row."""
        self.active[intervention, row] = True
        self.before[intervention, row] = before.tokens
        self.after[intervention, row] = after.tokens
        # Aligned at their ends: a replay and the cached forward need not have as many reads.
        reads = min(len(before.logprobs), len(after.logprobs))
        change = compare_distributions(before.logprobs[-reads:], after.logprobs[-reads:])
        self.kl[intervention, row, -reads:] = change.kl
        self.flipped[intervention, row, -reads:] = change.flipped

    def cpu(self) -> "ReplayScores":
        """The same on the CPU."""
        return ReplayScores(**{f.name: getattr(self, f.name).cpu() for f in fields(self)})

    def metrics(self, row: int, answers: Mapping[Label, int]) -> dict[str, tuple[Floats, Floats]]:
        """Every metric of a row without and with each intervention, (interventions,) each, in nats.

        `answers` are the row's candidates, see `PromptRows.candidates`. `top1_flips` is a count.
        """

        def sums(scores: Tensor) -> dict[Label, Floats]:
            own = scores[:, row].double()
            return {
                label: own[:, self.answer[row] == answer].sum(1).numpy()
                for label, answer in answers.items()
            }

        before, after = metrics_of(sums(self.before)), metrics_of(sums(self.after))
        metrics = {name: (before[name], after[name]) for name in before}
        # The candidates may share the position that predicts their first tokens: it counts once.
        of_candidates = (self.answer[row][:, None] == torch.tensor(list(answers.values()))).any(1)
        reads = self.at[row][of_candidates].unique()
        for name, values in (("kl", self.kl), ("top1_flips", self.flipped)):
            total = values[:, row, reads].double().sum(1).numpy()
            metrics[name] = (np.zeros_like(total), total)
        return metrics

    def tokens(self, row: int, answer: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Of each token of one answer of a row the columns of `impact_tokens`, (interventions,) each."""
        for at in (self.answer[row] == answer).nonzero()[:, 0].tolist():
            read = self.at[row, at]
            yield {
                "baseline": self.before[:, row, at].numpy(),
                "edited": self.after[:, row, at].numpy(),
                "kl": self.kl[:, row, read].numpy(),
                "flipped": self.flipped[:, row, read].numpy(),
            }
