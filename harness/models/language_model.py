"""Causal language models of transformers: tokens, forwards with taps on the blocks, generation.

A tap is a function of a block's output, the residual stream (rows, columns, width). It may return a
tensor of the same shape and dtype to put in its place. Taps are hooks on the block itself; none is
left behind on any way out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from harness.errors import Fault, InputError
from harness.models.cached_blocks import Given, Memory, Recording, Replayed, Trimmed
from harness.models.forward import Answers, CachedForward, GeneratedToken, Tap
from harness.models.hooks import finish, hook_of
from harness.models.logprobs import by_answer, token_logprobs
from harness.models.padded_batch import Batch, Reads, Side, Tokens, pad, reads_of
from harness.models.suffix import Tail


class LanguageModel:
    """A model and its tokenizer on one device, in evaluation mode, with eager attention."""

    def __init__(self, model: Any, tokenizer: Any, padding_side: Side = "left") -> None:
        self.network = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.padding_side: Side = padding_side
        self.blocks: nn.ModuleList = model.get_decoder().layers

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return len(self.blocks)

    @property
    def dtype(self) -> str:
        """What it computes in, e.g. `bfloat16`."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def bos(self) -> int | None:
        """The token that every prompt begins with."""
        return self.tokenizer.bos_token_id

    @property
    def facts(self) -> dict[str, str]:
        """What `runs` records of the model, besides where it came from."""
        return {
            "dtype": self.dtype,
            "attention": self.network.config._attn_implementation,
            "device": _name_of(self.device),
            "padding_side": self.padding_side,
            "transformers_version": transformers.__version__,
        }

    @property
    def _config(self) -> Any:
        # Of the language model within, where the model sees pictures too.
        return self.network.config.get_text_config()

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return self._config.hidden_size

    def tokens(self, text: str, *answers: str) -> Tokens:
        """Tokenize a prompt, jointly with each answer after one space, with BOS exactly once.

        Raises `InputError` where a token spans the boundary or the text contains a special token.
        """
        prompt = self._ids(text)
        found = []
        most = self._config.max_position_embeddings
        for answer in answers:
            both = self._ids(f"{text} {answer}")
            if both[: len(prompt)] != prompt or len(both) == len(prompt):
                raise InputError(
                    Fault(
                        f"prompt '{text[-40:]}'",
                        f"one token spans its end and the answer '{answer}'",
                        "end the prompt with a whole word, so that a space separates the two",
                    )
                )
            if len(both) > most:
                raise InputError(
                    Fault(
                        f"prompt '{text[:40]}...'",
                        f"it has {len(both)} tokens with its answer, the model takes {most}",
                        "shorten it",
                    )
                )
            found.append(both[len(prompt) :])
        return Tokens(prompt, tuple(found))

    def text_of(self, ids: Sequence[int]) -> str:
        """Token ids as text, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def token_of(self, token: int) -> str:
        """A token as it reads in running text: with its leading space."""
        return self.tokenizer.decode([token])

    def batch(self, rows: Sequence[Tokens]) -> Batch:
        """The rows padded on the model's side, on its device."""
        return self._pad(rows, self.padding_side)

    def forward(
        self, batch: Batch, taps: Mapping[int, Tap] | None = None, *, gradients: bool = False
    ) -> Answers:
        """Score each row's answers; `taps` by block see the residual stream on the way."""
        reads = reads_of(batch)
        with torch.set_grad_enabled(gradients), self._tapped(taps or {}):
            logprobs = self._score(batch, reads)
        rows = torch.arange(len(batch), device=self.device)
        return by_answer(token_logprobs(logprobs, reads, rows), reads.answer)

    @torch.no_grad()
    def cached_forward(self, batch: Batch, reads: Reads, blocks: Sequence[int]) -> CachedForward:
        """Score each row's answers, and keep what `replay` needs to begin after these blocks.

        The batch is compact, see `harness.models.suffix`.
        """
        found: dict[int, Tensor] = {}

        def look(block: int) -> Tap:
            def tap(residual: Tensor) -> None:
                found[block] = residual

            return tap

        memory = Recording(min(blocks))
        taps = {block: look(block) for block in blocks}
        logprobs = self._continue(
            batch.ids, batch.place, batch.visible, memory, reads.column.shape[1], taps
        )
        return CachedForward(batch, reads, logprobs, found, memory.kept)

    def replay(
        self,
        kept: CachedForward,
        tail: Tail,
        block: int,
        residual: Tensor,
        taps: Mapping[int, Tap] | None = None,
        *,
        gradients: bool = False,
    ) -> Tensor:
        """Log-probabilities (n, reads, vocabulary) of a tail, from an edited stream after `block`.

        `residual` (n, length, width) is at the tail's columns, in their order; so are `taps` on later
        blocks. Blocks up to `block` are not computed, and columns before the tail are attended to as
        they were kept.
        """
        batch = kept.batch
        memory = Replayed(kept.memory, tail.row, tail.known)
        with torch.set_grad_enabled(gradients), self._given(block, residual):
            return self._continue(
                tail.of(batch.ids),
                tail.of(batch.place),
                lambda window: tail.visible(batch, window),
                memory,
                tail.reads,
                taps or {},
                first=block + 1,
            )

    def rows_within(self, budget: int, columns: int, blocks: Sequence[int]) -> int:
        """How many rows of so many columns can be kept in `budget` bytes, at least 1."""
        config = self._config
        size = self.network.dtype.itemsize
        memory = 2 * config.num_key_value_heads * config.head_dim * (self.depth - min(blocks))
        kept = columns * size * (memory + self.width * len(blocks))
        return max(1, budget // (kept + 3 * self.bytes_per_read))

    def bytes_per_row(self, columns: int) -> int:
        """What one row of so many columns takes in a forward, about: its widest block and its reads."""
        config = self._config
        block = 4 * config.hidden_size + 3 * config.intermediate_size
        scores = 3 * config.num_attention_heads * columns
        size = self.network.dtype.itemsize
        return columns * size * (block + scores) + 8 * 3 * self.bytes_per_read

    @property
    def bytes_per_read(self) -> int:
        """Of one float32 distribution over the vocabulary."""
        return 4 * self._config.vocab_size

    @torch.no_grad()
    def generate(
        self, rows: Sequence[Tokens], new_tokens: int, top: int
    ) -> list[list[GeneratedToken]]:
        """Greedy continuation of each prompt, up to its end-of-sequence token.

        Padding is on the left whatever the model's side: new tokens follow the last column.
        """
        batch = self._pad(rows, "left")
        ends = self.network.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        output = self.network.generate(
            input_ids=batch.ids,
            attention_mask=(batch.branch >= 0).long(),
            max_new_tokens=new_tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=self._config.pad_token_id or 0,
        )
        tokens = output.sequences[:, batch.columns :].cpu()
        steps: list[list[GeneratedToken]] = [[] for _ in range(len(batch))]
        for at, logits in enumerate(output.logits):
            values, ids = logits.float().topk(min(top, logits.shape[-1]))
            logprobs = (values - logits.float().logsumexp(-1, keepdim=True)).cpu()
            values, ids = values.cpu(), ids.cpu()
            for row, done in enumerate(steps):
                if not done or done[-1].token not in ends:
                    done.append(
                        GeneratedToken(int(tokens[row, at]), ids[row], values[row], logprobs[row])
                    )
        return steps

    @property
    def taps_left(self) -> int:
        """How many hooks are on the blocks: 0 whenever no forward is under way."""
        return sum(len(block._forward_hooks) for block in self.blocks)

    def _score(self, batch: Batch, reads: Reads) -> Tensor:
        """Run every column; the log-probabilities (rows, reads, vocabulary) in float32."""
        column = reads.column.clamp(min=0)
        first = int(batch.earliest) if column.numel() else batch.columns - 1
        output = self.network(
            input_ids=batch.ids,
            attention_mask=self._masks(batch.visible),
            position_ids=batch.place,
            use_cache=False,
            logits_to_keep=torch.arange(first, batch.columns, device=self.device),
        )
        rows = torch.arange(len(batch), device=self.device)[:, None]
        return output.logits[rows, (column - first).clamp(min=0)].float().log_softmax(-1)

    def _continue(
        self,
        ids: Tensor,
        place: Tensor,
        visible: Callable[[int | None], Tensor],
        memory: Memory,
        reads: int,
        taps: Mapping[int, Tap],
        first: int = 0,
    ) -> Tensor:
        """Run columns of which the last `reads` are read: their log-probabilities, in float32."""
        last = self.depth - 1
        trimmed = self._trimmed(reads) if first <= last and last not in taps else nullcontext()
        with self._tapped(taps), trimmed:
            output = self.network(
                input_ids=ids,
                attention_mask=self._masks(visible),
                position_ids=place,
                past_key_values=memory,
                use_cache=True,
                logits_to_keep=reads,
            )
        return output.logits.float().log_softmax(-1)

    def _masks(self, visible: Callable[[int | None], Tensor]) -> dict[str, Tensor]:
        """The additive mask of each kind of attention, (rows, 1, queries, keys)."""
        config = self._config
        lowest = torch.finfo(self.network.dtype).min
        masks = {}
        for kind in set(config.layer_types):
            window = config.sliding_window if kind == "sliding_attention" else None
            seen = visible(window)[:, None]
            masks[kind] = torch.zeros_like(seen, dtype=self.network.dtype).masked_fill(
                ~seen, lowest
            )
        return masks

    def _pad(self, rows: Sequence[Tokens], side: Side) -> Batch:
        pad_id = self._config.pad_token_id or 0
        return pad(rows, pad_id=pad_id, side=side, device=self.device)

    def _ids(self, text: str) -> tuple[int, ...]:
        ids = list(self.tokenizer(text).input_ids)
        if self.bos is not None and ids[:1] != [self.bos]:
            ids.insert(0, self.bos)
        if special := set(ids[1:]) & set(self.tokenizer.all_special_ids):
            name = self.tokenizer.convert_ids_to_tokens(min(special))
            raise InputError(
                Fault(f"prompt '{text[:40]}'", f"it contains the special token {name}", "remove it")
            )
        return tuple(ids)

    @contextmanager
    def _tapped(self, taps: Mapping[int, Tap]) -> Iterator[None]:
        handles = []
        try:
            for block, tap in taps.items():
                hook = hook_of(tap, self.device)
                handles.append(self.blocks[block].register_forward_hook(hook))
            yield
        finally:
            finish([handle.remove for handle in handles])

    @contextmanager
    def _given(self, last: int, residual: Tensor) -> Iterator[None]:
        """Put stand-ins that compute nothing in the place of the first blocks."""
        stand_ins = [Given(None) for _ in range(last)] + [Given(residual)]
        with self._replaced(dict(enumerate(stand_ins))):
            yield

    @contextmanager
    def _trimmed(self, reads: int) -> Iterator[None]:
        """Compute the last block only where it is read."""
        last = self.depth - 1
        with self._replaced({last: Trimmed(self.blocks[last], reads)}):
            yield

    @contextmanager
    def _replaced(self, stand_ins: Mapping[int, nn.Module]) -> Iterator[None]:
        before = {i: self.blocks[i] for i in stand_ins}
        try:
            for i, stand_in in stand_ins.items():
                self.blocks[i] = stand_in
            yield
        finally:
            finish([partial(self.blocks.__setitem__, i, block) for i, block in before.items()])


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
