"""Causal language models of transformers: tokens, forwards with taps on the blocks, generation.

A tap is a function of a block's output, the residual stream (rows, columns, width). It may return a
tensor of the same shape and dtype to put in its place. Taps are hooks on the block itself; none is
left behind on any way out.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from harness.batch import Batch, Side, Tokens, answer_logprobs, pad
from harness.faults import CannotRun, Fault, InputError

Tap = Callable[[Tensor], Tensor | None]
Answers = list[list[Tensor]]  # by row, then by answer: log-probabilities of its tokens, in nats


@dataclass(frozen=True)
class Step:
    """One generated token, and the logits of the best ones there, (top,) each."""

    token: int
    top_ids: Tensor
    top_logits: Tensor
    top_logprobs: Tensor


@dataclass(frozen=True)
class Kept:
    """A forward to replay from: its answers, the residual stream after some blocks, and its cache."""

    batch: Batch
    answers: Answers
    residuals: Mapping[int, Tensor]
    cache: DynamicCache


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
    def facts(self) -> dict[str, str]:
        """What `runs` records of the model, besides where it came from."""
        return {
            "dtype": str(self.network.dtype).removeprefix("torch."),
            "attention": self.network.config._attn_implementation,
            "device": _name_of(self.device),
            "padding_side": self.padding_side,
            "transformers_version": transformers.__version__,
        }

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return self.network.config.hidden_size

    def tokens(self, text: str, *answers: str) -> Tokens:
        """Tokenize a prompt, jointly with each answer after one space, with BOS exactly once.

        Raises `InputError` where a token spans the boundary or the text contains a special token.
        """
        prompt = self._ids(text)
        found = []
        most = self.network.config.max_position_embeddings
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
        with torch.set_grad_enabled(gradients), self._tapped(taps or {}):
            return self._score(batch, 0)

    @torch.no_grad()
    def keep(self, batch: Batch, blocks: Sequence[int]) -> Kept:
        """Score each row's answers, and keep what `replay` needs to begin after these blocks."""
        found: dict[int, Tensor] = {}

        def look(block: int) -> Tap:
            def tap(residual: Tensor) -> None:
                found[block] = residual

            return tap

        # Without the model's config the cache keeps every position, beyond a sliding window too.
        cache = DynamicCache()
        with self._tapped({block: look(block) for block in blocks}):
            answers = self._score(batch, 0, cache)
        return Kept(batch, answers, found, cache)

    @torch.no_grad()
    def replay(
        self,
        kept: Kept,
        block: int,
        residual: Tensor,
        taps: Mapping[int, Tap] | None = None,
    ) -> Answers:
        """Score the answers again from an edited residual stream after `block`.

        `residual` (rows, last columns, width) may leave out the first columns, where nothing was
        edited, up to `batch.earliest`: they are taken from the cache. Blocks up to `block` are not
        computed. `taps` on later blocks see the same columns.
        """
        start = kept.batch.columns - residual.shape[1]
        cache = DynamicCache()
        if start:
            for i, (keys, values, *_) in enumerate(kept.cache):
                if i > block:
                    cache.update(keys[:, :, :start], values[:, :, :start], i)
        with self._tapped(taps or {}), self._given(block, residual):
            return self._score(kept.batch, start, cache)

    @torch.no_grad()
    def generate(self, rows: Sequence[Tokens], new_tokens: int, top: int) -> list[list[Step]]:
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
            pad_token_id=self.network.config.pad_token_id or 0,
        )
        tokens = output.sequences[:, batch.columns :].cpu()
        steps: list[list[Step]] = [[] for _ in range(len(batch))]
        for at, logits in enumerate(output.logits):
            values, ids = logits.float().topk(min(top, logits.shape[-1]))
            logprobs = (values - logits.float().logsumexp(-1, keepdim=True)).cpu()
            values, ids = values.cpu(), ids.cpu()
            for row, done in enumerate(steps):
                if not done or done[-1].token not in ends:
                    done.append(Step(int(tokens[row, at]), ids[row], values[row], logprobs[row]))
        return steps

    @property
    def taps_left(self) -> int:
        """How many hooks are on the blocks: 0 whenever no forward is under way."""
        return sum(len(block._forward_hooks) for block in self.blocks)

    def _score(self, batch: Batch, start: int, cache: DynamicCache | None = None) -> Answers:
        """Run the columns from `start` on; the cache holds the ones before."""
        first = batch.earliest if bool((batch.branch > 0).any()) else batch.columns - 1
        output = self.network(
            input_ids=batch.ids[:, start:],
            attention_mask=self._masks(batch, start),
            position_ids=batch.place[:, start:],
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=torch.arange(first - start, batch.columns - start, device=self.device),
        )
        return answer_logprobs(output.logits, first, batch)

    def _masks(self, batch: Batch, start: int) -> dict[str, Tensor]:
        """The additive mask of each kind of attention, (rows, 1, queries, keys)."""
        config = self.network.config.get_text_config()
        lowest = torch.finfo(self.network.dtype).min
        masks = {}
        for kind in set(config.layer_types):
            window = config.sliding_window if kind == "sliding_attention" else None
            seen = batch.visible(window)[:, None, start:]
            masks[kind] = torch.zeros_like(seen, dtype=self.network.dtype).masked_fill(
                ~seen, lowest
            )
        return masks

    def _pad(self, rows: Sequence[Tokens], side: Side) -> Batch:
        pad_id = self.network.config.pad_token_id or 0
        return pad(rows, pad_id=pad_id, side=side, device=self.device)

    def _ids(self, text: str) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token_id
        ids = list(self.tokenizer(text).input_ids)
        if ids[:1] != [bos]:
            ids.insert(0, bos)
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
                handles.append(self.blocks[block].register_forward_hook(_hook(tap)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _given(self, last: int, residual: Tensor) -> Iterator[None]:
        """Put stand-ins that compute nothing in the place of the first blocks."""
        replaced = list(self.blocks[: last + 1])
        try:
            for i in range(last):
                self.blocks[i] = _Given(None)
            self.blocks[last] = _Given(residual)
            yield
        finally:
            for i, block in enumerate(replaced):
                self.blocks[i] = block


class _Given(nn.Module):
    def __init__(self, residual: Tensor | None) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        return hidden_states if self.residual is None else self.residual


def load_model(
    source: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    padding_side: Side = "left",
) -> LanguageModel:
    """Load a model folder or hub repository; raises `CannotRun` where it cannot be had."""
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision,
            dtype=getattr(torch, dtype),
            attn_implementation="eager",
        )
    except (OSError, ValueError) as error:
        raise CannotRun(
            Fault(
                source,
                f"the model cannot be loaded: {str(error).splitlines()[0]}",
                "log in with `hf auth login` and accept the model's terms, or run "
                "`--target organism`",
            )
        ) from error
    return LanguageModel(model.to(device), tokenizer, padding_side)


def _hook(tap: Tap) -> Callable[..., Any]:
    # A block returns its residual stream in transformers 5, and a tuple that begins with it in 4.
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            changed = tap(output[0])
            return None if changed is None else (changed, *output[1:])
        return tap(output)

    return hook


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
