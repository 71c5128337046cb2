"""All interventions on one batch of prompts: which replays they need, and what comes of them.

A row that an intervention does not touch at all is exactly its baseline, without a forward. A no-op
equals, to the bit where the device's arithmetic depends on the numbers alone, the same computation
with nothing edited.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from harness.interventions.edits import apply
from harness.interventions.layer_edits import EditsByLayer
from harness.interventions.replay_schedule import Job, baseline_job, chunks
from harness.interventions.replay_scores import (
    ReplayScores,
    RowChanges,
    RowScores,
    compare_rows,
)
from harness.interventions.resampling import align_sources
from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.logprobs import token_logprobs
from harness.models.memory import reads_within, rows_replayed
from harness.models.padded_batch import Tokens, positions_of
from harness.models.prompt_rows import PromptRows, cached_forward
from harness.models.suffix import first_read, lengths, suffix_of
from harness.models.transfer import send
from harness.sae.encoding import cutoff
from harness.specs.intervention import Intervention
from harness.specs.prompt import Prompt


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
        stream = next(iter(self._forward.held.values()))
        self._half_precision = self._forward.logprobs.dtype != stream.dtype
        self._device = stream.device
        has_source = torch.ones_like(self._batch.ids, dtype=torch.bool)
        # By layer what edits need beside the edited stream, (rows, columns, ...).
        self._beside: dict[int, Tensor] = {}
        # By layer, what decides which features of a TopK dictionary are active before any edit.
        self._cuts = {
            layer: cutoff(edit.sae, self._forward.held[layer]) for layer, edit in edits.items()
        }
        if prompts := [prompt for prompt in sources if prompt is not None]:
            # A source is asked the same answers, so that their tokens have counterparts too.
            source_tokens = [
                model.tokens(prompt.asked, *rows.answers(row))
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
        numbers = (number for number, edit in enumerate(interventions) if edit.role == "no-op")
        self._noops = {number: i for i, number in enumerate(numbers)}

    def _take_from(self, source_tokens: list[Tokens], tokens: list[Tokens]) -> Tensor:
        """Take what edits need of the source prompts; which columns have any, (rows, columns) bool."""
        source = cached_forward(self._model, source_tokens, list(self._edits))
        column = align_sources(self._batch, tokens, source.batch, source_tokens)
        (there,) = send(self._device, column.clamp(min=0))
        row = torch.arange(len(column), device=self._device)[:, None]
        for layer, edit in self._edits.items():
            self._beside[layer] = edit.beside(
                source.held[layer], (row, there), self._forward.held[layer], self._cuts[layer]
            )
        return column >= 0

    def scores(self) -> tuple[ReplayScores, ReplayScores]:
        """Run what must be run, and fill in the rest: what the interventions did, and the noise.

        The noise is what an edit that changes nothing seems to do where it is compared as all others
        are: one of each no-op, in their order.
        """
        jobs = self._jobs()
        whole = self._cached_scores()
        tokens, reads = whole.tokens.cpu(), self._forward.reads
        scores = ReplayScores.unedited(tokens, reads, len(self._interventions))
        noise = ReplayScores.unedited(tokens, reads, len(self._noops))
        # They are copied from the device once all replays are in its queue.
        recorded: list[tuple[ReplayScores, list[int], list[int], RowChanges]] = []
        for chunk in self._chunks(jobs):
            edited = self._replay(chunk)
            places = [i for i, job in enumerate(chunk) if job.intervention is not None]
            numbers = [one for job in chunk if (one := job.intervention) is not None]
            rows = [chunk[i].row for i in places]
            change = compare_rows(*self._baselines(chunk, places, edited, whole), edited, places)
            if self._edits_nothing(chunk[places[0]]):
                # A no-op must be exact, and even the place of a row in a batch can show in the last
                # bit: it is held against the same batch once more, untouched, at the same place.
                untouched = self._replay(chunk, edit=False)
                recorded.append((noise, [self._noops[n] for n in numbers], rows, change))
                change = compare_rows(untouched, places, edited, places)
            recorded.append((scores, numbers, rows, change))
        for into, numbers, rows, change in recorded:
            into.record(numbers, rows, change.cpu())
        return scores, noise

    def _baselines(
        self, chunk: Sequence[Job], places: Sequence[int], edited: RowScores, whole: RowScores
    ) -> tuple[RowScores, list[int]]:
        """What the jobs at these places of a chunk are compared with: scores, and their rows of them.

        `edited` are the chunk's own scores, `whole` those of the batch in its cached forward.
        """
        if self._half_precision:
            # The noise of the arithmetic between batches of another shape is far larger than small
            # impacts. It cancels where the baseline has the same shape: it lies in the same chunk.
            place = {job: i for i, job in enumerate(chunk)}
            return edited, [place[baseline_job(chunk[i])] for i in places]
        # In float32 the noise is below 1e-5 nats, and no replay is spent on it.
        return whole, [chunk[i].row for i in places]

    def _cached_scores(self) -> RowScores:
        logprobs = self._forward.logprobs
        row = torch.arange(len(self._batch))
        return RowScores(logprobs, token_logprobs(logprobs, self._forward.reads, row))

    def _chunks(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, ...]]:
        """The jobs as they are replayed together; the no-ops last, and by themselves."""
        reads = self._forward.reads
        count = lengths(self._batch, reads).tolist()
        on_cpu = self._device.type == "cpu"
        returned = reads_within(self._model, self._limit.rows, on_cpu=on_cpu)
        most = returned // reads.column.shape[1]
        rows = rows_replayed(self._model, self._limit.rows, on_cpu=on_cpu)
        together = partial(
            chunks,
            length=lambda row, first: count[row][first],
            tokens=rows * self._batch.columns,
            rows=max(2, min(4 * self._limit.rows, most)),
        )
        apart = [job for job in jobs if self._edits_nothing(job)]
        others = [job for job in jobs if not self._edits_nothing(job)]
        return chain(together(others), together(apart))

    def _jobs(self) -> list[Job]:
        """Every intervention on every row that it touches, from the first place it does."""
        values = {
            layer: edit.read(self._forward.held[layer], self._cuts[layer])
            for layer, edit in self._edits.items()
        }
        (positions,) = send(self._device, self._positions)
        touched = torch.stack(
            [
                edit.changes(values[layer], self._beside.get(layer)) & positions
                for layer, edit in self._edits.items()
            ]
        )  # (layers, interventions, rows, columns)
        at_layer = touched.any(3)
        found = [at_layer.long().argmax(0), touched.any(0).long().argmax(2), at_layer.any(0).long()]
        lowest, first, is_touched = torch.stack(found).cpu()
        # An edit after the first read, which no read before it sees, still replays from that read: a
        # replay returns all of its row's reads.
        latest = first_read(self._forward.reads, self._batch.columns)
        first = torch.minimum(first, latest)
        layers = list(self._edits)
        return [
            Job(
                layers[int(lowest[number, row])],
                row,
                int(first[number, row]),
                number,
                self._half_precision,
            )
            for number, row in is_touched.nonzero().tolist()
        ]

    def _edits_nothing(self, job: Job) -> bool:
        return job.intervention in self._noops

    def _replay(self, chunk: Sequence[Job], *, edit: bool = True) -> RowScores:
        """The scores of a chunk's jobs, (n, ...); all of them untouched without `edit`."""
        block = chunk[0].block
        row = torch.tensor([job.row for job in chunk])
        first = torch.tensor([job.first for job in chunk])
        which = torch.tensor([job.intervention or 0 for job in chunk])
        still = torch.tensor([not edit or job.intervention is None for job in chunk])
        suffix = suffix_of(self._batch, self._forward.reads, row, first)
        positions = self._positions[which, row].gather(1, suffix.column.clamp(min=0))
        positions &= (suffix.column >= 0) & ~still[:, None]
        identity = torch.tensor([self._edits_nothing(job) for job in chunk])
        which, positions, identity = send(self._device, which, positions, identity)
        there = suffix.on(self._device)

        def tap(layer: int, cut: Tensor | None = None) -> Callable[[Tensor], Tensor]:
            beside = self._beside.get(layer)
            edits = self._edits[layer].edit(
                which, None if beside is None else there.of(beside), identity=identity
            )
            return lambda held: apply(edits, held, positions, cut)

        # Above the first edit the stream is another one, and what is active there is found anew.
        cut = self._cuts[block]
        start = tap(block, None if cut is None else there.of(cut))(
            there.of(self._forward.held[block])
        )
        later = {layer: tap(layer) for layer in self._edits if layer > block}
        logprobs = self._model.replay(self._forward, suffix, block, start, later)
        return RowScores(logprobs, token_logprobs(logprobs, self._forward.reads, suffix.row))
