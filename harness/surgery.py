"""All interventions on one batch of prompts: which replays they need, and what comes of them.

A row that an intervention does not touch at all is exactly its baseline, without a forward. A no-op
is replayed beside its twin, the same job with nothing computed, and must equal it to the bit. In half
precision every job has a twin, which is its baseline: there the arithmetic's noise between batches is
far larger than small impacts. In float32 that noise is below 1e-5 nats, and the baseline is the kept
forward; the no-op's own baseline, beside the others', shows how large it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.bank import Bank
from harness.batch import where
from harness.donors import aligned
from harness.edits import apply
from harness.interventions import Intervention
from harness.measures import measures
from harness.metrics import shift, token_logprobs
from harness.records import Label, Prompt
from harness.sae.jumprelu import encode
from harness.schedule import Job, chunks
from harness.tail import Tail, first_read, lengths, tail_of
from harness.work import Bench, Kept, Rows, kept

LOGITS = 2**27  # bytes of distributions over the vocabulary that a replay may return

Banks = Mapping[int, Bank]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What interventions did to the rows of a batch, on the CPU.

    `before` and `after` are log-probabilities (interventions, rows, tokens), and `answer` (rows,
    tokens) says whose; `kl` and `flipped` are (interventions, rows, reads), `at` (rows, tokens) the
    read that predicts a token, from the last; `active` (interventions, rows).
    """

    before: Tensor
    after: Tensor
    kl: Tensor
    flipped: Tensor
    active: Tensor
    answer: Tensor
    at: Tensor

    def measured(self, row: int, answers: Mapping[Label, int]) -> dict[str, tuple[Floats, Floats]]:
        """Every metric of a row without and with each intervention, (interventions,) each."""

        def sums(scores: Tensor) -> dict[Label, Floats]:
            own = scores[:, row].double()
            return {
                label: own[:, self.answer[row] == answer].sum(1).numpy()
                for label, answer in answers.items()
            }

        was, now = measures(sums(self.before)), measures(sums(self.after))
        found = {metric: (was[metric], now[metric]) for metric in was}
        # The candidates may share the position that predicts their first tokens.
        of = (self.answer[row][:, None] == torch.tensor(list(answers.values()))).any(1)
        reads = self.at[row][of].unique()
        for metric, values in (("kl", self.kl), ("top1_flips", self.flipped)):
            total = values[:, row, reads].double().sum(1).numpy()
            found[metric] = (np.zeros_like(total), total)
        return found

    def tokens(self, row: int, answer: int) -> Iterator[dict[str, NDArray[Any]]]:
        """What became of each token of one answer, (interventions,) each."""
        for at in (self.answer[row] == answer).nonzero()[:, 0].tolist():
            read = self.at[row, at]
            yield {
                "baseline": self.before[:, row, at].numpy(),
                "edited": self.after[:, row, at].numpy(),
                "kl": self.kl[:, row, read].numpy(),
                "flipped": self.flipped[:, row, read].numpy(),
            }


class Surgery:
    """All interventions on one batch."""

    def __init__(
        self,
        bench: Bench,
        interventions: Sequence[Intervention],
        banks: Banks,
        rows: Rows,
        chosen: Sequence[int],
        lenders: Sequence[Prompt | None],
    ) -> None:
        self._model, self._banks, self._interventions = bench.model, banks, interventions
        self._limit = bench.limit
        tokens = [rows.tokens[i] for i in chosen]
        self._kept: Kept = kept(bench.model, tokens, list(banks))
        self._batch = self._kept.batch
        self._lent: dict[int, Tensor] = {}
        allowed = torch.ones_like(self._batch.ids, dtype=torch.bool)
        if lent := [prompt for prompt in lenders if prompt is not None]:
            # The donor is asked the same answers, so that their tokens have counterparts too.
            giving = [
                bench.model.tokens(prompt.text, *rows.answers(row))
                for prompt, row in zip(lent, chosen, strict=True)
            ]
            source = kept(bench.model, giving, list(banks))
            column = aligned(self._batch, tokens, source.batch, giving)
            allowed = column >= 0
            here = torch.arange(len(column), device=column.device)[:, None]
            for layer, bank in banks.items():
                self._lent[layer] = encode(bank.sae, source.residuals[layer])[
                    here, column.clamp(min=0)
                ]
        places = {one.positions: where(self._batch, one.positions) for one in interventions}
        self._positions = torch.stack(
            [
                places[one.positions] & allowed if one.kind == "resample" else places[one.positions]
                for one in interventions
            ]
        )
        self._identity = torch.tensor(
            [one.role == "no-op" for one in interventions], device=allowed.device
        )

    def scores(self) -> Scores:
        """Run what must be run, and fill in the rest."""
        baseline, reads = self._kept, self._kept.reads
        here = torch.arange(len(self._batch), device=reads.at.device)
        base = token_logprobs(baseline.logprobs, reads, here)
        size = (len(self._interventions), *base.shape)
        before, after = base.expand(size).clone(), base.expand(size).clone()
        kl = torch.zeros(*size[:2], reads.column.shape[1], device=base.device)
        flipped = torch.zeros_like(kl, dtype=torch.bool)
        jobs = self._jobs()
        count = lengths(self._batch, reads).tolist()
        limit = LOGITS // (self._model.bytes_per_read * reads.column.shape[1])
        for chunk in chunks(
            jobs,
            lambda row, first: count[row][first],
            tokens=self._limit.rows * self._batch.columns,
            rows=max(2, min(4 * self._limit.rows, limit)),
        ):
            logprobs, tail = self._replayed(chunk)
            edited = token_logprobs(logprobs, reads, tail.row)
            twins = {(j.row, j.first): i for i, j in enumerate(chunk) if j.intervention is None}
            at = [i for i, job in enumerate(chunk) if job.intervention is not None]
            for i in at:
                job = chunk[i]
                n, row = job.intervention, job.row
                twin = twins.get((row, job.first)) if job.twin else None
                old = baseline.logprobs[row] if twin is None else logprobs[twin]
                before[n, row] = base[row] if twin is None else edited[twin]
                after[n, row] = edited[i]
                width = min(len(old), logprobs.shape[1])
                found = shift(old[-width:], logprobs[i, -width:])
                kl[n, row, -width:], flipped[n, row, -width:] = found.kl, found.flipped
        active = torch.zeros(size[:2], dtype=torch.bool)
        for job in jobs:
            active[job.intervention, job.row] = True
        kept_on_cpu = (
            t.cpu() for t in (before, after, kl, flipped, active, reads.answer, reads.at)
        )
        return Scores(*kept_on_cpu)

    def _jobs(self) -> list[Job]:
        """Every intervention on every row that it touches, from the first place it does."""
        baseline, found = self._kept, []
        half = baseline.logprobs.dtype != next(iter(baseline.residuals.values())).dtype
        values = {
            layer: encode(bank.sae, baseline.residuals[layer])
            for layer, bank in self._banks.items()
        }
        latest = first_read(baseline.reads, self._batch.columns)
        for n, one in enumerate(self._interventions):
            touched = torch.stack(
                [
                    self._banks[layer].changes(n, values[layer], self._lent.get(layer))
                    & self._positions[n]
                    for layer in one.layers
                ]
            )  # (layers, rows, columns)
            lowest = touched.any(2).long().argmax(0)
            first = torch.minimum(touched.any(0).long().argmax(1), latest)
            for row in touched.any(2).any(0).nonzero()[:, 0].tolist():
                block = one.layers[int(lowest[row])]
                twin = half or one.role == "no-op"
                found.append(Job(block, row, int(first[row]), n, twin))
        return found

    def _replayed(self, chunk: Sequence[Job]) -> tuple[Tensor, Tail]:
        device, block = self._batch.ids.device, chunk[0].block
        row = torch.tensor([job.row for job in chunk], device=device)
        first = torch.tensor([job.first for job in chunk], device=device)
        which = torch.tensor([job.intervention or 0 for job in chunk], device=device)
        still = torch.tensor([job.intervention is None for job in chunk], device=device)
        tail = tail_of(self._batch, self._kept.reads, row, first)
        positions = self._positions[which, row].gather(1, tail.column.clamp(min=0))
        positions &= (tail.column >= 0) & ~still[:, None]
        identity = self._identity[which]

        def tap(layer: int) -> Callable[[Tensor], Tensor]:
            lent = self._lent.get(layer)
            edit = self._banks[layer].edit(
                which, None if lent is None else tail.of(lent), identity=identity
            )
            return lambda residual: apply(edit, residual, positions)

        start = tap(block)(tail.of(self._kept.residuals[block]))
        later = {layer: tap(layer) for layer in self._banks if layer > block}
        return self._model.replay(self._kept, tail, block, start, later), tail
