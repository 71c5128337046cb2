"""What goes into a forward and what comes out of it: taps, scored answers, cached forwards, new tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from harness.models.padded_batch import Batch, Reads

# Sees what a block's site holds (rows, columns, held width), and may return what takes its place.
Tap = Callable[[Tensor], Tensor | None]
# By row, then by answer: the log-probability of each of its tokens, (tokens,), in float32 nats.
AnswerScores = list[list[Tensor]]


@dataclass(frozen=True)
class GeneratedToken:
    """One generated token, and the best ones there, (top,) each: ids, logits, and nats."""

    token: int
    top_ids: Tensor
    top_logits: Tensor
    top_logprobs: Tensor


@dataclass(frozen=True)
class CachedForward:
    """A forward of a compact batch, from which any of its rows can be replayed.

    `logprobs` (rows, reads, vocabulary) are float32 nats at `reads`; `held`, by block, is what its site
    holds (rows, columns, held width), in the model's dtype; `keys_and_values`, of the blocks above the
    lowest of these, are (rows, heads, columns, head width) each. `streams`, by block, are the streams
    (rows, columns, width) from which a replay of a site within the block begins; else there are none.
    """

    batch: Batch
    reads: Reads
    logprobs: Tensor
    held: Mapping[int, Tensor]
    keys_and_values: Mapping[int, tuple[Tensor, Tensor]]
    streams: Mapping[int, Tensor]
