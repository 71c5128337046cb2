"""All interventions on one batch of prompts: which replays they need, and what comes of them.

A row that an intervention does not touch at all is exactly its baseline, without a forward. A no-op
must equal, to the bit, the same computation with nothing edited.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from harness.interventions.edits import apply
from harness.interventions.layer_edits import EditsByLayer
from harness.interventions.replay_schedule import Job, baseline_job, chunks
from harness.interventions.replay_scores import ReplayScores, RowScores
from harness.interventions.resampling import align_sources
from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.logprobs import token_logprobs
from harness.models.memory import LOGIT_BYTES
from harness.models.padded_batch import Tokens, positions_of
from harness.models.prompt_rows import PromptRows, cached_forward
from harness.models.suffix import first_read, lengths, suffix_of
from harness.sae import encode
from harness.specs.intervention import Intervention
from harness.specs.prompt import Prompt


@dataclass(frozen=True)
class _Scores:
    """Of several rows: `logprobs` (n, reads, vocabulary) and `tokens` (n, tokens), in nats."""

    logprobs: Tensor
    tokens: Tensor

    def of(self, i: int) -> RowScores:
        return RowScores(self.logprobs[i], self.tokens[i])


class BatchReplays:
    """All interventions on one batch: the prompts of the rows `chosen`, in one cached forward.

    `sources` are the source prompts of these rows, if they have any: then each of them has one.
    """

    def __init__(
        self,
        model: LanguageModel,
        limit: BatchLimit,
        interventions: Sequence[Intervention],
        edits: EditsByLayer,
        rows: PromptRows,
        chosen: Sequence[int],
        sources: Sequence[Prompt | None],
    ) -> None:
        self._model, self._limit = model, limit
        self._interventions, self._edits = interventions, edits
        tokens = [rows.tokens[i] for i in chosen]
        self._forward = cached_forward(model, tokens, list(edits))
        self._batch = self._forward.batch
        stream = next(iter(self._forward.residuals.values()))
        self._half_precision = self._forward.logprobs.dtype != stream.dtype
        has_source = torch.ones_like(self._batch.ids, dtype=torch.bool)
        self._source_values: dict[int, Tensor] = {}  # by layer: (rows, columns, features)
        if prompts := [prompt for prompt in sources if prompt is not None]:
            # A source is asked the same answers, so that their tokens have counterparts too.
            source_tokens = [
                model.tokens(prompt.text, *rows.answers(row))
                for prompt, row in zip(prompts, chosen, strict=True)
            ]
            has_source = self._take_from(source_tokens, tokens)
        named = {
            edit.positions: positions_of(self._batch, edit.positions) for edit in interventions
        }
        self._positions = torch.stack(  # (interventions, rows, columns)
            [
                named[edit.positions] & has_source
                if edit.kind == "resample"
                else named[edit.positions]
                for edit in interventions
            ]
        )
        self._is_noop = torch.tensor(
            [edit.role == "no-op" for edit in interventions], device=has_source.device
        )

    def _take_from(self, source_tokens: list[Tokens], tokens: list[Tokens]) -> Tensor:
        """Take the source prompts' feature values; which columns have any, (rows, columns) bool."""
        source = cached_forward(self._model, source_tokens, list(self._edits))
        column = align_sources(self._batch, tokens, source.batch, source_tokens)
        row = torch.arange(len(column), device=column.device)[:, None]
        for layer, edit in self._edits.items():
            values = encode(edit.sae, source.residuals[layer])
            self._source_values[layer] = values[row, column.clamp(min=0)]
        return column >= 0

    def scores(self) -> ReplayScores:
        """Run what must be run, and fill in the rest; the result is on the CPU."""
        jobs = self._jobs()
        whole = self._cached_scores()
        scores = ReplayScores.unedited(whole.tokens, self._forward.reads, len(self._interventions))
        for chunk in self._chunks(jobs):
            edited = self._replay(chunk)
            baseline_of = self._baselines(chunk, edited, whole)
            for i, job in enumerate(chunk):
                if job.intervention is not None:
                    scores.record(job.intervention, job.row, baseline_of(job), edited.of(i))
        return scores.cpu()

    def _baselines(
        self, chunk: Sequence[Job], edited: _Scores, whole: _Scores
    ) -> Callable[[Job], RowScores]:
        """What each job of a chunk is compared with.

        `edited` are the chunk's own scores, `whole` those of the batch in its cached forward.
        """
        place = {job: i for i, job in enumerate(chunk)}
        if self._half_precision:
            # The noise of the arithmetic between batches of another shape is far larger than small
            # impacts. It cancels where the baseline has the same shape: it lies in the same chunk.
            return lambda job: edited.of(place[baseline_job(job)])
        if all(self._edits_nothing(job) for job in chunk):
            # A no-op must be exact, and even the place of a row in a batch can show in the last bit:
            # its baseline is the same batch once more, untouched, at the same place.
            untouched = self._replay(chunk, edit=False)
            return lambda job: untouched.of(place[job])
        # In float32 the noise is below 1e-5 nats, and no replay is spent on it.
        return lambda job: whole.of(job.row)

    def _cached_scores(self) -> _Scores:
        row = torch.arange(len(self._batch), device=self._batch.ids.device)
        logprobs = self._forward.logprobs
        return _Scores(logprobs, token_logprobs(logprobs, self._forward.reads, row))

    def _chunks(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, ...]]:
        """The jobs as they are replayed together; in float32 the no-ops last, and by themselves."""
        reads = self._forward.reads
        count = lengths(self._batch, reads).tolist()
        most = LOGIT_BYTES // (self._model.bytes_per_read * reads.column.shape[1])
        together = partial(
            chunks,
            length=lambda row, first: count[row][first],
            tokens=self._limit.rows * self._batch.columns,
            rows=max(2, min(4 * self._limit.rows, most)),
        )
        apart = [job for job in jobs if self._edits_nothing(job) and not job.with_baseline]
        others = [job for job in jobs if job.with_baseline or not self._edits_nothing(job)]
        return chain(together(others), together(apart))

    def _jobs(self) -> list[Job]:
        """Every intervention on every row that it touches, from the first place it does."""
        residuals = self._forward.residuals
        values = {layer: encode(edit.sae, residuals[layer]) for layer, edit in self._edits.items()}
        latest = first_read(self._forward.reads, self._batch.columns)
        jobs = []
        for number, intervention in enumerate(self._interventions):
            touched = torch.stack(
                [
                    self._edits[layer].changes(
                        number, values[layer], self._source_values.get(layer)
                    )
                    & self._positions[number]
                    for layer in intervention.layers
                ]
            )  # (layers, rows, columns)
            lowest = touched.any(2).long().argmax(0)
            # An edit after the first read, which no read before it sees, still replays from that read:
            # a replay returns all of its row's reads.
            first = torch.minimum(touched.any(0).long().argmax(1), latest)
            for row in touched.any(2).any(0).nonzero()[:, 0].tolist():
                block = intervention.layers[int(lowest[row])]
                jobs.append(Job(block, row, int(first[row]), number, self._half_precision))
        return jobs

    def _edits_nothing(self, job: Job) -> bool:
        return job.intervention is not None and bool(self._is_noop[job.intervention])

    def _replay(self, chunk: Sequence[Job], *, edit: bool = True) -> _Scores:
        """The scores of a chunk's jobs, (n, ...); all of them untouched without `edit`."""
        device, block = self._batch.ids.device, chunk[0].block
        row = torch.tensor([job.row for job in chunk], device=device)
        first = torch.tensor([job.first for job in chunk], device=device)
        which = torch.tensor([job.intervention or 0 for job in chunk], device=device)
        still = torch.tensor([not edit or j.intervention is None for j in chunk], device=device)
        suffix = suffix_of(self._batch, self._forward.reads, row, first)
        positions = self._positions[which, row].gather(1, suffix.column.clamp(min=0))
        positions &= (suffix.column >= 0) & ~still[:, None]
        identity = self._is_noop[which]

        def tap(layer: int) -> Callable[[Tensor], Tensor]:
            values = self._source_values.get(layer)
            edits = self._edits[layer].edit(
                which, None if values is None else suffix.of(values), identity=identity
            )
            return lambda residual: apply(edits, residual, positions)

        start = tap(block)(suffix.of(self._forward.residuals[block]))
        later = {layer: tap(layer) for layer in self._edits if layer > block}
        logprobs = self._model.replay(self._forward, suffix, block, start, later)
        return _Scores(logprobs, token_logprobs(logprobs, self._forward.reads, suffix.row))
