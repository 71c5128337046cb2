"""The loss of a sample of rows: as they are, and from what is put in the place of a block's site."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from harness.models.adaptive_batching import map_batches
from harness.models.forward_types import CachedForward
from harness.models.logprobs import token_logprobs
from harness.models.memory import LOGIT_BYTES
from harness.models.padded_batch import Reads, Tokens, positions_of
from harness.models.prompt_rows import cached_forward
from harness.models.row_bytes import bytes_per_read
from harness.models.suffix import Suffix, suffix_of
from harness.models.transfer import send
from harness.runner.context import RunContext
from harness.sae.precise import double

STREAMS = ("resid_pre", "resid_post")  # sites that hold all that later blocks see


@dataclass(frozen=True)
class SampleForward:
    """Some rows in one forward, of which every token but BOS is scored.

    `loss` is the sum over `tokens` of them, in nats, as they are: to the bit that of a replay from any block
    in which nothing is edited, as each column is computed in both.
    """

    context: RunContext
    cached: CachedForward
    loss: Tensor
    tokens: int

    def held(self, block: int) -> Tensor:
        """What the site of a block holds, (rows, columns, held width)."""
        return self._suffix.on(self.cached.held[block].device).of(self.cached.held[block])

    @cached_property
    def edited(self) -> Tensor:
        """Every position but BOS, (rows, columns) bool."""
        (edited,) = send(
            self.context.model.device, self._suffix.of(positions_of(self.cached.batch, "all"))
        )
        return edited

    def replayed(self, block: int, held: Tensor) -> Tensor:
        """The sum of the loss where the site of a block holds this instead, in nats, float64."""
        logprobs = self.context.model.replay(self.cached, self._suffix, block, held)
        return _loss(logprobs, self.cached.reads, self._suffix.row)

    def zeroed(self, block: int, held: Tensor) -> Tensor:
        """The same where what it holds is 0 at all that is `edited`.

        To the blocks after a stream of 0 tokens differ by their places alone, and the first one is as it was:
        rows that begin alike are computed once, as far as the longest of them.
        """
        model = self.context.model
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


def sample_forwards(context: RunContext, rows: Sequence[Tokens]) -> Iterator[SampleForward]:
    """Forwards of the rows, as many at a time as fit, which hold the sites of all blocks."""
    # A prompt as BOS with one long answer: every token of it is scored.
    scored = [Tokens(row.prompt[:1], (row.prompt[1:],)) for row in rows if len(row.prompt) > 1]
    # From the last token of a row nothing is read.
    longest = max((len(row) - 1 for row in scored), default=1)
    most = max(1, LOGIT_BYTES // (bytes_per_read(context.model) * longest))

    def forward_rows(chosen: list[int]) -> SampleForward:
        tokens = [scored[i] for i in chosen]
        cached = cached_forward(context.model, tokens, range(context.model.depth))
        loss = _loss(cached.logprobs, cached.reads, torch.arange(len(chosen)))
        # A replay computes every column itself: of the distributions and of what is attended to none is kept.
        none = {
            block: (keys[:, :, :0].clone(), values[:, :, :0].clone())
            for block, (keys, values) in cached.keys_and_values.items()
        }
        kept = replace(cached, logprobs=cached.logprobs[:0].clone(), keys_and_values=none)
        return SampleForward(context, kept, loss, sum(len(row.answers[0]) for row in tokens))

    for _, forward in map_batches(context.limit, scored, forward_rows, most):
        yield forward


def _loss(logprobs: Tensor, reads: Reads, row: Tensor) -> Tensor:
    return -double(token_logprobs(logprobs, reads, row)).nansum()
