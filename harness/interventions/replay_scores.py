"""What interventions did to the answers of a batch, token by token, and summed to metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.models.logprobs import compare_distributions
from harness.models.padded_batch import Reads
from harness.models.transfer import send
from harness.specs.metrics import LOG_MASS, Number, metrics_of
from harness.specs.prompt import Label

Floats = NDArray[np.float64]
# Of distributions that are compared at once: on a processor what its cache holds.
COMPARED_BYTES = {True: 2**23, False: 2**28}


@dataclass(frozen=True)
class RowScores:
    """Of several rows, in nats: `logprobs` (n, reads, vocabulary) and `tokens` (n, tokens).

    The last read is last. A replay has fewer reads than the batch where its rows need no more.
    """

    logprobs: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class RowChanges:
    """What becomes of n rows, each on the scores' device.

    `before` and `after` (n, tokens) in nats; `kl`, in nats, and `flipped` are (n, reads), of the last reads.
    """

    before: Tensor
    after: Tensor
    kl: Tensor
    flipped: Tensor

    def cpu(self) -> "RowChanges":
        """The same on the processor, in one copy."""
        parts = self.before, self.after, self.kl, self.flipped.to(self.kl.dtype)
        sizes = [part.shape[1] for part in parts]
        before, after, kl, flipped = torch.cat(parts, 1).cpu().split(sizes, 1)
        return RowChanges(before, after, kl, flipped.bool())


def compare_rows(
    before: RowScores, rows: Sequence[int], after: RowScores, edited: Sequence[int]
) -> RowChanges:
    """Hold the rows `edited` of `after` against these `rows` of `before`, one by one."""
    device = after.logprobs.device
    # Aligned at their ends: a replay and the cached forward need not have as many reads.
    reads = min(before.logprobs.shape[1], after.logprobs.shape[1])
    of_before, of_after = send(device, torch.tensor(rows), torch.tensor(edited))
    # What is compared is copied: a part at a time, so that it does not take memory for all of it.
    row_bytes = reads * after.logprobs.shape[2] * after.logprobs.itemsize
    most = max(1, COMPARED_BYTES[device.type == "cpu"] // row_bytes)
    changes = [
        compare_distributions(before.logprobs[a, -reads:], after.logprobs[b, -reads:])
        for a, b in zip(of_before.split(most), of_after.split(most), strict=True)
    ]
    return RowChanges(
        before.tokens[of_before],
        after.tokens[of_after],
        torch.cat([change.kl for change in changes]),
        torch.cat([change.flipped for change in changes]),
    )


@dataclass(frozen=True)
class ReplayScores:
    """What interventions did to the rows of a batch, on the processor.

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
        kl = torch.zeros(*size[:2], reads.column.shape[1])
        return cls(
            before=tokens.expand(size).clone(),
            after=tokens.expand(size).clone(),
            kl=kl,
            flipped=torch.zeros_like(kl, dtype=torch.bool),
            active=torch.zeros(size[:2], dtype=torch.bool),
            answer=reads.answer,
            at=reads.at,
        )

    def record(self, interventions: Sequence[int], rows: Sequence[int], change: RowChanges) -> None:
        """Put in what became of these rows, each under its own intervention: both (n,)."""
        at = torch.tensor(interventions), torch.tensor(rows)
        self.active[at] = True
        self.before[at] = change.before
        self.after[at] = change.after
        reads = change.kl.shape[1]
        self.kl[..., -reads:][at] = change.kl
        self.flipped[..., -reads:][at] = change.flipped

    def metrics(
        self, row: int, answers: Mapping[Label, Sequence[int]]
    ) -> dict[str, tuple[Floats, Floats]]:
        """Every metric of a row without and with each intervention, (interventions,) each, in nats.

        `answers` are the row's candidates, see `PromptRows.candidates`. `top1_flips` is a count.
        """

        def sums(scores: Tensor) -> dict[Label, Floats]:
            own = scores[:, row].double()
            return {
                label: log_sum([own[:, self.answer[row] == one].sum(1).numpy() for one in members])
                for label, members in answers.items()
            }

        before, after = metrics_of(sums(self.before)), metrics_of(sums(self.after))
        metrics = {name: (before[name], after[name]) for name in before}
        metrics[LOG_MASS] = _log_mass(before), _log_mass(after)
        # The candidates may share the position that predicts their first tokens: it counts once.
        numbers = torch.tensor([one for members in answers.values() for one in members])
        of_candidates = (self.answer[row][:, None] == numbers).any(1)
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


def log_sum(members: Sequence[Number]) -> Number:
    """The log of the summed probability of a set of answers, from each one's log-probability."""
    with np.errstate(invalid="ignore"):
        total = members[0]
        for one in members[1:]:
            total = np.logaddexp(total, one)
        return total


def _log_mass(metrics: Mapping[str, Floats]) -> Floats:
    """The log of both answers' probability together, (interventions,)."""
    both = metrics["log_p_correct"], metrics["log_p_misconception"]
    # Two that are -inf or NaN make NaN, and that is said of each of them.
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp(*both), dtype=np.float64)
