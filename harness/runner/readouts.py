"""Forwards that look without touching: the scores of answers, and the features at a readout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.finite import check_finite, check_scores
from harness.models.forward_types import AnswerScores
from harness.models.hooks import capture
from harness.models.padded_batch import Batch, positions_of, rows_of
from harness.models.prompt_rows import PromptRows
from harness.models.transfer import send
from harness.runner.context import RunContext
from harness.sae import Sae, encode
from harness.sae.encoding import written_part
from harness.sae.pooling import pool
from harness.specs.fields import NamedPositions
from harness.specs.prompt import Prompt


def read(
    context: RunContext,
    rows: PromptRows,
    at: NamedPositions,
    layers: Sequence[int],
    prompts: Sequence[Prompt],
) -> "tuple[dict[int, list[Tensor]], Readout]":
    """By row the scores of its answers, and what some layers hold at the readout of each prompt.

    Raises `CannotRun` where NaN or infinity arises.
    """
    scores: dict[int, list[Tensor]] = {}
    readout = Readout(rows, layers, prompts)

    def read_batch(chosen: list[int]) -> _ObservedBatch:
        batch = context.model.batch([rows.tokens[i] for i in chosen])
        positions = positions_of(batch, at)
        streams: dict[int, Tensor] = {}
        answers = context.model.forward(batch, capture(layers, streams, positions))
        check_finite(streams, context.model.dtype)
        check_scores(answers, context.model.dtype)
        return _ObservedBatch(batch, positions, answers, streams)

    for chosen, observed in context.batches(rows.tokens, read_batch):
        scores |= dict(zip(chosen, observed.answers, strict=True))
        readout.add(chosen, observed)
    return scores, readout


@dataclass(frozen=True)
class _ObservedBatch:
    """One batch: its answers' scores, and the residual stream at some positions, by layer.

    `positions` is (rows, columns) bool, the streams (n_positions, width).
    """

    batch: Batch
    positions: Tensor
    answers: AnswerScores
    streams: dict[int, Tensor]


class Readout:
    """The stream at the readout as batches pass by, and which prompts each position belongs to.

    A row's prompt tokens serve every prompt with that text; an answer's tokens only the prompts
    whose own answer it is.
    """

    def __init__(self, rows: PromptRows, layers: Sequence[int], prompts: Sequence[Prompt]) -> None:
        # By row: each of its prompts, and the branch of that prompt's own answer.
        self._readers: dict[int, list[tuple[int, int]]] = {}
        for i, prompt in enumerate(prompts):
            own_branch = rows.own_answer(prompt) + 1
            self._readers.setdefault(rows.row(prompt), []).append((i, own_branch))
        self._streams: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        # By prompt, the places among all of the positions that it reads.
        self._uses: list[list[int]] = [[] for _ in prompts]
        self._total = 0

    def add(self, chosen: Sequence[int], observed: _ObservedBatch) -> None:
        """Take in a batch that was made of these rows."""
        rows = rows_of(observed.positions, chosen).tolist()
        branches = observed.batch.branch[observed.positions].tolist()
        for at, (row, branch) in enumerate(zip(rows, branches, strict=True), start=self._total):
            for prompt, own_branch in self._readers[row]:
                if branch in (0, own_branch):
                    self._uses[prompt].append(at)
        self._total += len(rows)
        for layer, stream in observed.streams.items():
            self._streams[layer].append(stream)

    def features(
        self, layer: int, sae: Sae, how: str, most: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What is active, its positions reduced by `how`: each one's prompt, feature and value, (n,).

        About `most` positions are encoded at a time.
        """
        stream = torch.cat(self._streams[layer])
        for prompts in self._parts(most):
            uses = [self._uses[prompt] for prompt in prompts]
            wanted = sorted({at for of in uses for at in of})
            place = {at: i for i, at in enumerate(wanted)}
            (at,) = send(stream.device, torch.tensor(wanted, dtype=torch.long))
            values = pool(encode(sae, stream[at]), [[place[at] for at in of] for of in uses], how)
            row, feature = values.nonzero(as_tuple=True)
            yield row.cpu() + prompts[0], feature.cpu(), values[row, feature].cpu()

    def means(self, layer: int, sae: Sae) -> Tensor:
        """The mean of what is edited over each prompt's positions, (n_prompts, width written) in float32."""
        written = written_part(sae, torch.cat(self._streams[layer])).float()
        return pool(written, self._uses, "mean")

    def _parts(self, most: int) -> Iterator[list[int]]:
        """Prompts together that read at most so many positions, or one that reads more."""
        part: list[int] = []
        positions = 0
        for prompt, used in enumerate(self._uses):
            if part and positions + len(used) > most:
                yield part
                part, positions = [], 0
            part.append(prompt)
            positions += len(used)
        yield part
