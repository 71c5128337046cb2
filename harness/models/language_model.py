"""Causal language models of transformers: tokens, forwards with taps on the blocks, generation.

A tap is a function of a block's output, the residual stream (rows, columns, width). It may return a
tensor of the same shape and dtype to put in its place. Taps are hooks on the block itself; none is
left behind on any way out.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from harness.models.architecture import Architecture
from harness.models.attention_masks import Sight
from harness.models.cached_blocks import (
    KeyValueCache,
    RecordingCache,
    ReplayCache,
    skip_blocks,
    trim_last_block,
)
from harness.models.chat_tokens import tokenize_chat
from harness.models.forward_types import AnswerScores, CachedForward, GeneratedToken, Tap
from harness.models.generation import generate_greedily
from harness.models.hooks import capture, tap_blocks
from harness.models.logprobs import split_by_answer, token_logprobs
from harness.models.padded_batch import Batch, PaddingSide, Reads, Tokens, pad, reads_of
from harness.models.suffix import Suffix
from harness.models.tokenizer import opening, tokenize
from harness.models.transfer import send
from harness.models.unembedding import direct_logits
from harness.specs.chat import Chat
from harness.specs.fields import WhereBos


class LanguageModel:
    """A model and its tokenizer on one device, in evaluation mode, with eager attention."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        padding_side: PaddingSide = "left",
        bos: WhereBos = "auto",
    ) -> None:
        """Raises `InputError` where the model is of a kind that cannot be replayed."""
        self.network = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.padding_side: PaddingSide = padding_side
        self.architecture = Architecture(model)
        self.blocks: nn.ModuleList = self.architecture.blocks
        self._where_bos: WhereBos = bos

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    @property
    def n_parameters(self) -> int:
        """How many numbers its weights are."""
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return len(self.blocks)

    @property
    def dtype(self) -> str:
        """What it computes in, e.g. `bfloat16`."""
        return str(self.network.dtype).removeprefix("torch.")

    @cached_property
    def opening(self) -> tuple[int, ...]:
        """What every prompt begins with: BOS, or nothing, as the target or the tokenizer has it."""
        return opening(self.tokenizer, self._where_bos, needed=self.architecture.family.marked)

    @property
    def facts(self) -> dict[str, str]:
        """What `runs` records of the model, besides where it came from."""
        device = self.device
        return {
            "dtype": self.dtype,
            "attention": self.network.config._attn_implementation,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "padding_side": self.padding_side,
            "transformers_version": transformers.__version__,
        }

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return self.architecture.config.hidden_size

    def tokens(self, asked: str | Chat, *answers: str) -> Tokens:
        """Tokenize a prompt, jointly with each answer after one space, with BOS once or not at all.

        A chat is tokenized as the model's own template has it, with each answer where the assistant speaks.
        Raises `InputError` where the model does not take so many tokens, a token spans the boundary, or
        the text contains a special token.
        """
        most = {"longest": self.architecture.longest, "widest": self.architecture.widest}
        if isinstance(asked, str):
            return tokenize(self.tokenizer, self.opening, asked, answers, **most)
        needed = self.architecture.family.marked
        return tokenize_chat(self.tokenizer, self._where_bos, asked, answers, needed=needed, **most)

    @property
    def bos(self) -> int | None:
        """The token that every prompt begins with; None where it begins with a word."""
        return next((one for one in self.opening if one == self.tokenizer.bos_token_id), None)

    @property
    def lacks_bos(self) -> bool:
        """Whether prompts begin without the BOS that a model of this family was always given."""
        has_one = self.tokenizer.bos_token_id is not None
        return self.architecture.family.marked and has_one and self.bos is None

    def text_of(self, ids: Sequence[int]) -> str:
        """Token ids as text, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def token_of(self, token: int) -> str:
        """A token as it reads in running text: with its leading space."""
        return self.tokenizer.decode([token])

    def direct_logits(self, directions: Tensor) -> Tensor | None:
        """What directions (n, width) of the stream write to the logits by themselves, (n, vocabulary).

        By way of the final norm's weight and the unembedding alone, in float32 and on the processor;
        None where these cannot be read. See `harness.models.unembedding`.
        """
        return direct_logits(self.network, self.architecture.norm, directions)

    def batch(self, rows: Sequence[Tokens], side: PaddingSide | None = None) -> Batch:
        """The rows padded on the model's side, or another, on the processor."""
        return self._pad(rows, side or self.padding_side)

    def forward(
        self, batch: Batch, taps: Mapping[int, Tap] | None = None, *, gradients: bool = False
    ) -> AnswerScores:
        """Each row's answers: the log-probability of every token of each, (tokens,), in float32 nats.

        `taps` by block see the residual stream (rows, columns, width) on the way.
        """
        reads = reads_of(batch)
        scores = self.token_scores(batch, reads, taps, gradients=gradients)
        return split_by_answer(scores if gradients else scores.cpu(), reads.answer)

    def token_scores(
        self,
        batch: Batch,
        reads: Reads,
        taps: Mapping[int, Tap] | None = None,
        *,
        gradients: bool = False,
    ) -> Tensor:
        """As `forward`, all answers together: (rows, tokens) as in `Reads`, on the model's device."""
        with torch.set_grad_enabled(gradients), tap_blocks(self.blocks, taps or {}, self.device):
            logprobs = self._score(batch, reads)
        return token_logprobs(logprobs, reads, torch.arange(len(batch)))

    @torch.no_grad()
    def cached_forward(self, batch: Batch, reads: Reads, blocks: Sequence[int]) -> CachedForward:
        """Score each row's answers, and keep what `replay` needs to begin after any of these blocks.

        The batch and its reads are compact, see `harness.models.suffix`.
        """
        residuals: dict[int, Tensor] = {}
        cache = RecordingCache(min(blocks))
        ids, branch, place = send(self.device, batch.ids, batch.branch, batch.place)
        logprobs = self._continue(
            ids,
            Sight(branch, place, branch, place),
            cache,
            reads.column.shape[1],
            capture(blocks, residuals),
        )
        return CachedForward(batch, reads, logprobs, residuals, cache.keys_and_values)

    def replay(
        self,
        cached: CachedForward,
        suffix: Suffix,
        block: int,
        residual: Tensor,
        taps: Mapping[int, Tap] | None = None,
        *,
        gradients: bool = False,
    ) -> Tensor:
        """Log-probabilities (n, reads, vocabulary) of a suffix, from an edited stream after `block`.

        In float32 nats. `residual` (n, length, width) is at the suffix's columns, in their order; so is
        what `taps` on later blocks see. Blocks up to `block` are not computed, and columns before the
        suffix are attended to as they were in the cached forward.
        """
        sight = suffix.sight(cached.batch)
        ids, row, *sight_of = send(
            self.device,
            suffix.of(cached.batch.ids),
            suffix.row,
            *(sight.branch, sight.place, sight.key_branch, sight.key_place),
        )
        cache = ReplayCache(cached.keys_and_values, row, suffix.cached)
        skipped = skip_blocks(self.blocks, block, residual, self.architecture.family)
        with torch.set_grad_enabled(gradients), skipped:
            return self._continue(
                ids,
                Sight(*sight_of),
                cache,
                suffix.reads,
                taps or {},
                first=block + 1,
            )

    def generate(
        self, rows: Sequence[Tokens], new_tokens: int, top: int
    ) -> list[list[GeneratedToken]]:
        """Greedy continuation of each prompt, up to its end-of-sequence token, with the `top` logits."""
        # Padding is on the left whatever the model's side: new tokens follow the last column.
        batch = self._pad(rows, "left")
        return generate_greedily(
            self.network, batch, new_tokens=new_tokens, top=top, pad_id=self._pad_id
        )

    @property
    def taps_left(self) -> int:
        """How many hooks are on the blocks: 0 whenever no forward is under way."""
        return sum(len(block._forward_hooks) for block in self.blocks)

    def _score(self, batch: Batch, reads: Reads) -> Tensor:
        """Run every column; the log-probabilities (rows, reads, vocabulary) in float32."""
        # Logits of all columns would take far more memory than those that are read. The network
        # computes them for the same columns of every row, here from the first that any row reads on,
        # and each row's own reads are picked from these. A read of -1 is filling: whatever it picks,
        # no token is looked up in it.
        column = reads.column
        first = batch.earliest if column.numel() else batch.columns - 1
        # How many, and not which: a model that is spread over devices has its logits on another one.
        ids, branch, place = send(self.device, batch.ids, batch.branch, batch.place)
        sight = Sight(branch, place, branch, place)
        output = self.network(
            input_ids=ids,
            attention_mask=self.architecture.masks(sight, self.network.dtype),
            position_ids=place,
            use_cache=False,
            logits_to_keep=batch.columns - first,
        )
        rows = torch.arange(len(batch), device=output.logits.device)[:, None]
        (column,) = send(output.logits.device, (column - first).clamp(min=0))
        return output.logits[rows, column].float().log_softmax(-1)

    def _continue(
        self,
        ids: Tensor,
        sight: Sight,
        cache: KeyValueCache,
        reads: int,
        taps: Mapping[int, Tap],
        first: int = 0,
    ) -> Tensor:
        """Run columns of which the last `reads` are read: their log-probabilities, in float32.

        `ids` are (n, columns), and `sight` is of these columns; blocks below `first` have stand-ins.
        """
        # A tap on the last block wants to see, or to edit, every column of it. Where all blocks have
        # stand-ins the last one is not computed at all.
        last = self.depth - 1
        can_trim = first <= last and last not in taps
        trimmed = self._trimmed(reads) if can_trim else nullcontext()
        with tap_blocks(self.blocks, taps, self.device), trimmed:
            output = self.network(
                input_ids=ids,
                attention_mask=self.architecture.masks(sight, self.network.dtype),
                position_ids=sight.place,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=reads,
            )
        return output.logits.float().log_softmax(-1)

    def _trimmed(self, reads: int) -> AbstractContextManager[None]:
        return trim_last_block(self.blocks, reads, self.architecture.family)

    @property
    def _pad_id(self) -> int:
        return self.architecture.config.pad_token_id or 0

    def _pad(self, rows: Sequence[Tokens], side: PaddingSide) -> Batch:
        return pad(rows, pad_id=self._pad_id, side=side)
