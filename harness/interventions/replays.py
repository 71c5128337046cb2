"""All interventions on one batch of prompts: which replays they need, and what comes of them.

A row that an intervention does not touch at all is exactly its baseline, without a forward. A no-op
must equal, to the bit, the same computation with nothing edited. In half precision every job has such
a twin beside it in the batch, which is its baseline: there the arithmetic's noise between batches is
far larger than small impacts. In float32 that noise is below 1e-5 nats, and the baseline is the kept
forward; a no-op's is the same batch once more, untouched, as even the place of a row in a batch can
show in the last bit. Beside the others' baselines it shows how large the noise was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.interventions.edits import apply
from harness.interventions.layer_edits import Bank
from harness.interventions.replay_schedule import Job, chunks
from harness.interventions.resampling import aligned
from harness.models.adaptive_batching import Limit
from harness.models.forward import CachedForward
from harness.models.language_model import LanguageModel
from harness.models.logprobs import shift, token_logprobs
from harness.models.padded_batch import where
from harness.models.prompt_rows import Rows, cached_forward
from harness.models.suffix import Tail, first_read, lengths, tail_of
from harness.sae.jumprelu import encode
from harness.specs.intervention import Intervention
from harness.specs.metrics import metrics_of
from harness.specs.prompt import Label, Prompt

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

        was, now = metrics_of(sums(self.before)), metrics_of(sums(self.after))
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
        model: LanguageModel,
        limit: Limit,
        interventions: Sequence[Intervention],
        banks: Banks,
        rows: Rows,
        chosen: Sequence[int],
        lenders: Sequence[Prompt | None],
    ) -> None:
        self._model, self._banks, self._interventions = model, banks, interventions
        self._limit = limit
        tokens = [rows.tokens[i] for i in chosen]
        self._kept: CachedForward = cached_forward(model, tokens, list(banks))
        self._batch = self._kept.batch
        self._lent: dict[int, Tensor] = {}
        allowed = torch.ones_like(self._batch.ids, dtype=torch.bool)
        if lent := [prompt for prompt in lenders if prompt is not None]:
            # The donor is asked the same answers, so that their tokens have counterparts too.
            giving = [
                model.tokens(prompt.text, *rows.answers(row))
                for prompt, row in zip(lent, chosen, strict=True)
            ]
            source = cached_forward(model, giving, list(banks))
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
        together = partial(
            chunks,
            length=lambda row, first: count[row][first],
            tokens=self._limit.rows * self._batch.columns,
            rows=max(2, min(4 * self._limit.rows, limit)),
        )

        def record(job: Job, found: Tensor, edited: Tensor, old: Tensor, plain: Tensor) -> None:
            """One job: its distributions and tokens, and those of its baseline."""
            n, row = job.intervention, job.row
            before[n, row], after[n, row] = plain, edited
            width = min(len(old), len(found))
            moved = shift(old[-width:], found[-width:])
            kl[n, row, -width:], flipped[n, row, -width:] = moved.kl, moved.flipped

        for chunk in together([job for job in jobs if job.twin or not self._is_noop(job)]):
            logprobs, tail = self._replayed(chunk)
            edited = token_logprobs(logprobs, reads, tail.row)
            twins = {(j.row, j.first): i for i, j in enumerate(chunk) if j.intervention is None}
            for i, job in enumerate(chunk):
                if job.intervention is None:
                    continue
                if job.twin:
                    twin = twins[job.row, job.first]
                    record(job, logprobs[i], edited[i], logprobs[twin], edited[twin])
                else:
                    kept_row = baseline.logprobs[job.row]
                    record(job, logprobs[i], edited[i], kept_row, base[job.row])
        for chunk in together([job for job in jobs if self._is_noop(job) and not job.twin]):
            logprobs, tail = self._replayed(chunk)
            untouched, _ = self._replayed(chunk, edit=False)
            edited, plain = (token_logprobs(x, reads, tail.row) for x in (logprobs, untouched))
            for i, job in enumerate(chunk):
                record(job, logprobs[i], edited[i], untouched[i], plain[i])
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
                found.append(Job(block, row, int(first[row]), n, twin=half))
        return found

    def _is_noop(self, job: Job) -> bool:
        return job.intervention is not None and bool(self._identity[job.intervention])

    def _replayed(self, chunk: Sequence[Job], *, edit: bool = True) -> tuple[Tensor, Tail]:
        """The distributions of a chunk's jobs; all of them untouched without `edit`."""
        device, block = self._batch.ids.device, chunk[0].block
        row = torch.tensor([job.row for job in chunk], device=device)
        first = torch.tensor([job.first for job in chunk], device=device)
        which = torch.tensor([job.intervention or 0 for job in chunk], device=device)
        still = torch.tensor([not edit or j.intervention is None for j in chunk], device=device)
        tail = tail_of(self._batch, self._kept.reads, row, first)
        positions = self._positions[which, row].gather(1, tail.column.clamp(min=0))
        positions &= (tail.column >= 0) & ~still[:, None]
        identity = self._identity[which]

        def tap(layer: int) -> Callable[[Tensor], Tensor]:
            lent = self._lent.get(layer)
            edits = self._banks[layer].edit(
                which, None if lent is None else tail.of(lent), identity=identity
            )
            return lambda residual: apply(edits, residual, positions)

        start = tap(block)(tail.of(self._kept.residuals[block]))
        later = {layer: tap(layer) for layer in self._banks if layer > block}
        return self._model.replay(self._kept, tail, block, start, later), tail
