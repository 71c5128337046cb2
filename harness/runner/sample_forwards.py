"""The loss of a sample of rows: as they are, and from what is put in the place of a block's site."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from harness.models.adaptive_batching import map_batches
from harness.models.finite import check_finite
from harness.models.forward_types import CachedForward
from harness.models.hooks import capture, tap_blocks
from harness.models.language_model import LanguageModel
from harness.models.logprobs import token_logprobs
from harness.models.memory import LOGIT_BYTES
from harness.models.padded_batch import Reads, Tokens, positions_of, reads_of
from harness.models.row_bytes import bytes_per_read
from harness.models.suffix import Suffix, compact, suffix_of
from harness.models.transfer import send
from harness.runner.context import RunContext
from harness.sae.precise import double
from harness.specs.sites import Site

STREAMS = ("resid_pre", "resid_post")  # sites that hold all that later blocks see


@dataclass(frozen=True)
class SampleForward:
    """Some rows in one forward, of which every token but BOS is scored.

    `loss` is the sum over `tokens` of them, in nats, as they are: to the bit that of a replay from any block
    in which nothing is edited, as each column is computed in both. `sites` hold, by block, what they do at
    some of these tokens, (n_positions, held width).
    """

    model: LanguageModel
    cached: CachedForward
    loss: Tensor
    tokens: int
    sites: Mapping[Site, Mapping[int, Tensor]]

    def held(self, block: int) -> Tensor:
        """What the site of a block holds, (rows, columns, held width)."""
        return self._suffix.on(self.cached.held[block].device).of(self.cached.held[block])

    @cached_property
    def edited(self) -> Tensor:
        """Every position but BOS, (rows, columns) bool."""
        (edited,) = send(self.model.device, self._suffix.of(positions_of(self.cached.batch, "all")))
        return edited

    def replayed(self, block: int, held: Tensor) -> Tensor:
        """The sum of the loss where the site of a block holds this instead, in nats, float64."""
        logprobs = self.model.replay(self.cached, self._suffix, block, held)
        return _loss(logprobs, self.cached.reads, self._suffix.row)

    def zeroed(self, block: int, held: Tensor) -> Tensor:
        """The same where what it holds is 0 at all that is `edited`.

        To the blocks after a stream of 0 tokens differ by their places alone, and the first one is as it was:
        rows that begin alike are computed once, as far as the longest of them.
        """
        model = self.model
        if model.site not in STREAMS or not model.architecture.family.known:
            return self.replayed(block, held)
        reads, alike = self.cached.reads, self._alike
        row, column = alike.longest, self._suffix.column[alike.longest]
        suffix = replace(self._suffix, row=row, first=torch.zeros_like(row), column=column)
        (row,) = send(held.device, row)
        logprobs = model.replay(self.cached, suffix, block, held[row])
        which, at, token = send(
            logprobs.device, alike.which[:, None], reads.at - alike.shorter[:, None], reads.token
        )
        scores = logprobs[which, at, token.clamp(min=0)]
        return -double(scores.where(token >= 0, torch.nan)).nansum()

    @cached_property
    def _alike(self) -> "_Alike":
        batch = self.cached.batch
        real = batch.branch >= 0
        first, length = batch.ids[real & (batch.place == 0)], real.sum(1)
        kinds, which = first.unique(return_inverse=True)
        longest = torch.stack([length.where(first == kind, 0).argmax() for kind in kinds])
        return _Alike(longest, which, length[longest][which] - length)

    @cached_property
    def _suffix(self) -> Suffix:
        row = torch.arange(len(self.cached.batch))
        return suffix_of(self.cached.batch, self.cached.reads, row, torch.zeros_like(row))


@dataclass(frozen=True)
class _Alike:
    """The `longest` row of each first token, (n,); `which` of these a row is like, and how much `shorter`."""

    longest: Tensor
    which: Tensor
    shorter: Tensor


def sample_forwards(
    context: RunContext, rows: Sequence[Tokens], sites: Sequence[Site], most_held: int
) -> Iterator[SampleForward]:
    """Forwards of the rows, as many at a time as fit, which hold the model's own site at all blocks.

    Of all positions but BOS, about as many as asked for and spread over all, they hold all of these `sites`.
    """
    longer = sorted(
        (row for row in rows if len(row.prompt) > 1), key=lambda row: (len(row), row.prompt)
    )
    # A prompt as BOS with one long answer: every token of it is scored. Of an answer's last token nothing is
    # read, so that it is not computed: one more, any, comes after those that are.
    scored = [Tokens(row.prompt[:1], (row.prompt[1:] + row.prompt[:1],)) for row in longer]
    longest = max((len(row) - 2 for row in scored), default=1)
    most = max(1, LOGIT_BYTES // (bytes_per_read(context.model) * longest))
    total = sum(len(row) - 2 for row in scored)
    step, seen = max(1, total // most_held), 0

    def forward_rows(chosen: list[int]) -> SampleForward:
        return _forward(context.model, [scored[i] for i in chosen], sites, (-seen % step, step))

    for _, forward in map_batches(context.limit, scored, forward_rows, most):
        yield forward
        seen += forward.tokens


def _forward(
    model: LanguageModel, tokens: Sequence[Tokens], sites: Sequence[Site], every: tuple[int, int]
) -> SampleForward:
    """A forward of these rows, with what sites hold from a position on at `every` so many."""
    blocks, (first, step) = range(model.depth), every
    whole = model.batch(tokens)
    batch, reads = compact(whole, reads_of(whole))
    reads = replace(reads, token=reads.token.where(~_is_last(reads.token), -1))
    picked = torch.zeros_like(batch.ids, dtype=torch.bool)
    picked[positions_of(batch, "all").nonzero()[first::step].unbind(1)] = True
    held: dict[Site, dict[int, Tensor]] = {site: {} for site in sites}
    with ExitStack() as stack:
        for site, streams in held.items():
            taps = capture(blocks, streams, picked)
            stack.enter_context(tap_blocks(model.blocks, taps, model.device, site, model.parts))
        cached = model.cached_forward(batch, reads, blocks)
    for streams in held.values():
        check_finite(streams, model.dtype)
    loss = _loss(cached.logprobs, reads, torch.arange(len(tokens)))
    # A replay computes every column itself: of the distributions and of what is attended to none is kept.
    none = {
        block: (keys[:, :, :0].clone(), values[:, :, :0].clone())
        for block, (keys, values) in cached.keys_and_values.items()
    }
    kept = replace(cached, logprobs=cached.logprobs[:0].clone(), keys_and_values=none)
    return SampleForward(model, kept, loss, sum(len(row) - 2 for row in tokens), held)


def _is_last(token: Tensor) -> Tensor:
    """Which is the last of each row's tokens, (rows, tokens) bool, filled up on the right with -1."""
    place = torch.arange(token.shape[1])
    return place == (token >= 0).sum(1, keepdim=True) - 1


def _loss(logprobs: Tensor, reads: Reads, row: Tensor) -> Tensor:
    return -double(token_logprobs(logprobs, reads, row)).nansum()
