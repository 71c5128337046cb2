"""What goes into a forward and what comes out of it: taps, scored answers, cached forwards, new tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from harness.models.padded_batch import Batch, Reads

Tap = Callable[[Tensor], Tensor | None]
Answers = list[list[Tensor]]  # by row, then by answer: log-probabilities of its tokens, in nats


@dataclass(frozen=True)
class GeneratedToken:
    """One generated token, and the logits of the best ones there, (top,) each."""

    token: int
    top_ids: Tensor
    top_logits: Tensor
    top_logprobs: Tensor


@dataclass(frozen=True)
class CachedForward:
    """A forward to replay from.

    `logprobs` (rows, reads, vocabulary) are float32 nats at `reads`; `residuals` (rows, columns,
    width) the stream after some blocks; `memory` the keys and values of the blocks above the lowest.
    """

    batch: Batch
    reads: Reads
    logprobs: Tensor
    residuals: Mapping[int, Tensor]
    memory: Mapping[int, tuple[Tensor, Tensor]]
