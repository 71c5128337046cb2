"""Taps and replays: whether they see and continue the stream that the model has by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from harness.models.forward_types import CachedForward
from harness.models.language_model import LanguageModel
from harness.models.logprobs import split_by_answer, token_logprobs
from harness.models.padded_batch import Tokens, positions_of
from harness.models.plain_forward import furthest, hidden_states_of, logprobs_of, scaled
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import Suffix, suffix_of
from harness.runner.validation.check import NATS_NEAR, STREAM_NEAR, Check, within

FACTOR = 3.0  # of half of the stream's dimensions
TRIED = 4  # blocks from which replays begin


def taps(model: LanguageModel, row: Tokens) -> Iterator[Check]:
    """What a tap on each block sees, against transformers' `hidden_states` of the same tokens."""
    seen: dict[int, Tensor] = {}
    copies: dict[int, Tensor] = {}

    def tap(block: int, stream: Tensor) -> None:
        seen[block], copies[block] = stream, stream.clone()

    prompt = Tokens(row.prompt, row.answers[:1])
    model.forward(model.batch([prompt]), {i: partial(tap, i) for i in range(model.depth)})
    hidden = hidden_states_of(model.network, row.prompt)
    norm = model.architecture.norm
    columns = len(row.prompt)
    # The last of transformers' own is after the final norm.
    streams = [copies[i][0, :columns] for i in range(model.depth)]
    streams[-1] = streams[-1] if norm is None else norm(streams[-1])
    far = [_distance(found, hidden[i + 1]) for i, found in enumerate(streams)]
    worst = max(range(model.depth), key=lambda i: (far[i] != far[i], far[i]))
    found = f"{far[worst]:.1e} of the stream apart at most, at block {worst}"
    bound = STREAM_NEAR[model.dtype]
    if not far[worst] <= bound:
        nearest = min(range(len(hidden)), key=lambda i: _distance(streams[worst], hidden[i]))
        found += f"; the tap on block {worst} sees {_place(nearest)}"
    yield within(
        "taps", far[worst], bound, found, "a tap sees transformers' hidden states of its block, to"
    )
    changed = [i for i in range(model.depth) if not torch.equal(seen[i], copies[i])]
    said = f"after block {changed[0]} it is changed in place" if changed else "it stays as it was"
    yield Check("in place", not changed, said, "no block changes the stream that a tap has seen")


def _place(number: int) -> str:
    return f"what comes out of block {number - 1}" if number else "the embeddings"


def _distance(found: Tensor, wanted: Tensor) -> float:
    wanted = wanted.to(found.device).float()
    return float((found.float() - wanted).norm() / wanted.norm())


def replays(model: LanguageModel, rows: Sequence[Tokens]) -> Iterator[Check]:
    """Replays from several blocks: with the stream as it is, and edited, against a plain hooked forward."""
    blocks = sorted({round(i * (model.depth - 1) / (TRIED - 1)) for i in range(TRIED)})
    same, edited, moved, again = {}, {}, 0.0, []
    for block in blocks:
        replay = _Replay(model, cached_forward(model, rows, [block]), block)
        same[block], edited[block], far = replay.differences(rows)
        moved = max(moved, far)
        again += replay.not_repeated()
    bound = NATS_NEAR[model.dtype]
    where = f"from blocks {', '.join(map(str, blocks))}"
    worst = max(blocks, key=same.__getitem__)
    yield within(
        "no-op", same[worst], bound, f"{same[worst]:.1e} nats apart at most, {where}",
        "a replay with the stream as it is changes nothing, in nats beyond",
    )  # fmt: skip
    worst = max(blocks, key=edited.__getitem__)
    found = f"{edited[worst]:.1e} nats apart at most, {where}; the edits move {moved:.1g}"
    says = "a replay of an edited stream is a plain forward with a hook that edits it, in nats to"
    # What moves answers by no more than noise may is told by its share.
    limit = bound if moved > 2 * bound else moved / 10
    check = within("edit", edited[worst], limit, found, says)
    yield check if check.holds or limit == bound else replace(check, holds=None)
    found = again[0] if again else f"to the bit, {where}"
    yield Check("repeats", not again, found, "a replay leaves what it begins from, and repeats")


@dataclass(frozen=True)
class _Replay:
    """Replays of all rows of a cached forward from one block, from the first column after BOS on."""

    model: LanguageModel
    kept: CachedForward
    block: int

    @property
    def suffix(self) -> Suffix:
        first = (self.kept.batch.branch >= 0).long().argmax(1) + 1
        return suffix_of(self.kept.batch, self.kept.reads, torch.arange(len(first)), first)

    def scores(self, factor: float) -> list[list[Tensor]]:
        """The answers' tokens, where the stream is scaled everywhere but at the first token."""
        suffix = self.suffix
        stream = suffix.on(self.model.device).of(self.kept.held[self.block])
        inside = suffix.of(positions_of(self.kept.batch, "all")).to(stream.device)
        stream = torch.where(inside[..., None], scaled(stream, factor), stream)
        logprobs = self.model.replay(self.kept, suffix, self.block, stream)
        return self._answers(logprobs, suffix)

    def _answers(self, logprobs: Tensor, suffix: Suffix) -> list[list[Tensor]]:
        scores = token_logprobs(logprobs, self.kept.reads, suffix.row)
        return split_by_answer(scores.cpu(), self.kept.reads.answer)

    def differences(self, rows: Sequence[Tokens]) -> tuple[float, float, float]:
        """Of the no-op from the forward; of the edit from a plain forward; of that from the unedited."""
        plain, edited = (
            [
                [
                    logprobs_of(
                        self.model.network, row.prompt, answer, self.block,
                        partial(scaled, factor=factor),
                    )
                    for answer in row.answers
                ]
                for row in rows
            ]
            for factor in (1.0, FACTOR)
        )  # fmt: skip
        forward = self._answers(self.kept.logprobs, self.suffix)
        return (
            furthest(self.scores(1.0), forward),
            furthest(self.scores(FACTOR), edited),
            furthest(plain, edited),
        )

    def not_repeated(self) -> list[str]:
        """What is not the same after a replay as before it, in words."""
        parts = [*self.kept.held.values()]
        parts += [part for pair in self.kept.keys_and_values.values() for part in pair]
        copies = [part.clone() for part in parts]
        first = self.scores(FACTOR)
        wrong = []
        if not all(map(torch.equal, parts, copies)):
            wrong.append(f"replaying from block {self.block} changes what is kept of the forward")
        far = furthest(first, self.scores(FACTOR))
        if far != 0:
            wrong.append(f"the same replay from block {self.block} again is {far:.1e} nats off")
        return wrong
