"""Causal language models of transformers: tokens, forwards with taps on the blocks, generation.

A tap is a function of what a block's site holds: its output, the residual stream (rows, columns, width),
or what `LanguageModel.at` names. It may return a tensor of the same shape and dtype to put in its place.
Taps are hooks on the block itself, or on its parts; none is left behind on any way out.
"""

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from harness.models.architecture import Architecture
from harness.models.attention_masks import Sight
from harness.models.block_parts import BlockParts, parts_of
from harness.models.cached_blocks import (
    KeyValueCache,
    RecordingCache,
    ReplayCache,
    trim_last_block,
)
from harness.models.forward_types import AnswerScores, CachedForward, GeneratedToken, Tap
from harness.models.generation import generate_greedily
from harness.models.hooks import capture, tap_blocks
from harness.models.logprobs import split_by_answer, token_logprobs
from harness.models.packed_columns import pack_columns
from harness.models.padded_batch import Batch, PaddingSide, Reads, Tokens, reads_of
from harness.models.prompt_tokenizer import PromptTokenizer
from harness.models.replay_starts import (
    BEGINS,
    begin_at,
    first_computed,
    moved_stream,
    needs_keys_from,
)
from harness.models.suffix import Suffix
from harness.models.transfer import send
from harness.models.unembedding import direct_logits
from harness.specs.fields import WhereBos
from harness.specs.sites import Site


class LanguageModel(PromptTokenizer):
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
        super().__init__(Architecture(model), tokenizer, padding_side, bos)
        self.blocks: nn.ModuleList = self.architecture.blocks
        self.site: Site = "resid_post"

    def at(self, site: Site) -> "LanguageModel":
        """The same model, whose taps see and whose replays begin at another site of the blocks.

        A transcoder's site holds what the MLP reads and, after it, what the MLP adds to the stream: edits are
        of the latter. Raises `InputError` where a block has no such site.
        """
        moved = copy.copy(self)
        moved.site = site
        if site in BEGINS:
            moved.parts(0)
        return moved

    def parts(self, block: int) -> BlockParts:
        """The attention and the MLP of a block. Raises `InputError` where they are not found."""
        return self._parts[block]

    @cached_property
    def _parts(self) -> list[BlockParts]:
        return [parts_of(one, self.architecture.config.model_type) for one in self.blocks]

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

    @property
    def held_width(self) -> int:
        """Of what the site holds."""
        if self.site == "attn_z":
            return self.parts(0).heads_width
        return 2 * self.width if self.site == "transcoder" else self.width

    def direct_logits(self, directions: Tensor) -> Tensor | None:
        """What directions (n, width) of the stream write to the logits by themselves, (n, vocabulary).

        By way of the final norm's weight and the unembedding alone, in float32 and on the processor;
        None where these cannot be read. See `harness.models.unembedding`.
        """
        return direct_logits(self.network, self.architecture.norm, directions)

    def forward(
        self, batch: Batch, taps: Mapping[int, Tap] | None = None, *, gradients: bool = False
    ) -> AnswerScores:
        """Each row's answers: the log-probability of every token of each, (tokens,), in float32 nats.

        `taps` by block see what its site holds (rows, columns, held width) on the way.
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
        with torch.set_grad_enabled(gradients), self._tapped(taps or {}, self.site):
            logprobs = self._score(batch, reads)
        return token_logprobs(logprobs, reads, torch.arange(len(batch)))

    @torch.no_grad()
    def cached_forward(self, batch: Batch, reads: Reads, blocks: Sequence[int]) -> CachedForward:
        """Score each row's answers, and keep what `replay` needs to begin at the site of any of these blocks.

        The batch and its reads are compact, see `harness.models.suffix`.
        """
        held: dict[int, Tensor] = {}
        streams: dict[int, Tensor] = {}
        cache = RecordingCache(needs_keys_from(self.site, min(blocks)) - 1)
        ids, branch, place = send(self.device, batch.ids, batch.branch, batch.place)
        beside = capture(blocks, streams) if self.site in BEGINS else {}
        with self._tapped(beside, BEGINS.get(self.site, self.site)):
            logprobs = self._continue(
                ids,
                Sight(branch, place, branch, place),
                cache,
                reads.column.shape[1],
                capture(blocks, held),
            )
        return CachedForward(batch, reads, logprobs, held, cache.keys_and_values, streams)

    def replay(
        self,
        cached: CachedForward,
        suffix: Suffix,
        block: int,
        held: Tensor,
        taps: Mapping[int, Tap] | None = None,
        *,
        gradients: bool = False,
    ) -> Tensor:
        """Log-probabilities (n, reads, vocabulary) of a suffix, from an edited site of `block`.

        In float32 nats. What it holds, `held` (n, length, held width), is at the suffix's columns, in their
        order; so is what `taps` on later blocks see. What comes before the site is not computed, and
        columns before the suffix are attended to as they were in the cached forward.
        """
        sight = suffix.sight(cached.batch)
        ids, row, *sight_of = send(
            self.device,
            suffix.of(cached.batch.ids),
            suffix.row,
            *(sight.branch, sight.place, sight.key_branch, sight.key_place),
        )
        cache = ReplayCache(cached.keys_and_values, row, suffix.cached)
        with torch.set_grad_enabled(gradients), self._begun(cached, suffix, block, held):
            return self._continue(
                ids,
                Sight(*sight_of),
                cache,
                suffix.reads,
                taps or {},
                first=first_computed(self.site, block),
                begun=block,
            )

    def _begun(
        self, cached: CachedForward, suffix: Suffix, block: int, held: Tensor
    ) -> AbstractContextManager[None]:
        stream, there = None, suffix.on(self.device)
        if self.site in BEGINS:
            stream = there.of(cached.streams[block])
            if BEGINS[self.site] == "resid_post":
                before, factor = there.of(cached.held[block]), self.architecture.residual_factor
                stream = moved_stream(stream, held, before, factor)
        family = self.architecture.family
        return begin_at(
            self.blocks, family, self.site, block, held, stream=stream, parts=self.parts
        )

    def generate(
        self, rows: Sequence[Tokens], new_tokens: int, top: int
    ) -> list[list[GeneratedToken]]:
        """Greedy continuation of each prompt, up to its end-of-sequence token, with the `top` logits."""
        # Padding is on the left whatever the model's side: new tokens follow the last column.
        batch = self.batch(rows, "left")
        return generate_greedily(
            self.network, batch, new_tokens=new_tokens, top=top, pad_id=self.pad_id
        )

    @property
    def taps_left(self) -> int:
        """How many hooks are on the blocks: 0 whenever no forward is under way."""
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks)
            for block in self.blocks
            for module in block.modules()
        )

    def _score(self, batch: Batch, reads: Reads) -> Tensor:
        """Run every column; the log-probabilities (rows, reads, vocabulary) in float32."""
        # Logits of all columns would take far more memory than those that are read. The network computes
        # them for the same columns of every row, here from the first that any row reads on, and each row's
        # own reads are picked from these. A read of -1 is filling: no token is looked up in it.
        column = reads.column
        first = batch.earliest if column.numel() else batch.columns - 1
        # How many, and not which: a model that is spread over devices has its logits elsewhere.
        ids, branch, place = send(self.device, batch.ids, batch.branch, batch.place)
        logits = self._logits(ids, Sight(branch, place, branch, place), batch.columns - first)
        rows = torch.arange(len(batch), device=logits.device)[:, None]
        (column,) = send(logits.device, (column - first).clamp(min=0))
        return logits[rows, column].float().log_softmax(-1)

    def _logits(self, ids: Tensor, sight: Sight, last: int, **cache: Any) -> Tensor:
        """The network's logits (rows, last, vocabulary) of the last columns of `ids` (rows, columns)."""
        with pack_columns(self.network):
            output = self.network(
                input_ids=ids,
                attention_mask=self.architecture.masks(sight, self.network.dtype),
                position_ids=sight.place,
                logits_to_keep=last,
                **cache or {"use_cache": False},
            )
        return output.logits

    def _continue(
        self,
        ids: Tensor,
        sight: Sight,
        cache: KeyValueCache,
        reads: int,
        taps: Mapping[int, Tap],
        first: int = 0,
        begun: int = -1,
    ) -> Tensor:
        """Run columns of which the last `reads` are read: their log-probabilities, in float32.

        `ids` are (n, columns), and `sight` is of these columns; blocks below `first` have stand-ins, and the
        block that is `begun` may have some within.
        """
        # A tap on the last block, or a replay that begins there, is of every column of it.
        last = self.depth - 1
        can_trim = first <= last and last not in taps and begun != last
        trimmed = trim_last_block(self.blocks, reads, self.architecture.family)
        with self._tapped(taps, self.site), trimmed if can_trim else nullcontext():
            logits = self._logits(ids, sight, reads, past_key_values=cache, use_cache=True)
        return logits.float().log_softmax(-1)

    def _tapped(self, taps: Mapping[int, Tap], site: Site) -> AbstractContextManager[None]:
        return tap_blocks(self.blocks, taps, self.device, site, self.parts)
