"""Causal language models of transformers: tokens, forwards with taps on the blocks, generation.

A tap is a function of a block's output, the residual stream (rows, tokens, width). It may return a
tensor of the same shape and dtype to put in its place. Taps are hooks on the block itself; none is
left behind on any way out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from harness.batch import Batch, Side, Tokens, pad
from harness.faults import CannotRun, Fault, InputError
from harness.metrics import answer_logprobs

Tap = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True)
class Step:
    """One generated token, and the logits of the best ones there, (top,) each."""

    token: int
    top_ids: Tensor
    top_logits: Tensor
    top_logprobs: Tensor


class LanguageModel:
    """A model and its tokenizer on one device, in evaluation mode, with eager attention."""

    def __init__(self, model: Any, tokenizer: Any, padding_side: Side = "left") -> None:
        self.network = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.padding_side: Side = padding_side
        self.blocks: nn.ModuleList = model.get_decoder().layers

    @property
    def device(self) -> torch.device:
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
        return self.network.config.hidden_size

    def tokens(self, text: str, answer: str | None = None) -> Tokens:
        """Tokenize a prompt, jointly with its answer after one space, with BOS exactly once.

        Raises `InputError` where a token spans the boundary or the text contains a special token.
        """
        prompt = self._ids(text)
        if answer is None:
            return Tokens(prompt, len(prompt))
        both = self._ids(f"{text} {answer}")
        if both[: len(prompt)] != prompt or len(both) == len(prompt):
            raise InputError(
                Fault(
                    f"prompt '{text[-40:]}'",
                    f"one token spans its end and the answer '{answer}'",
                    "end the prompt with a whole word, so that a space separates the two",
                )
            )
        return Tokens(both, len(prompt))

    def text_of(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def token_of(self, token: int) -> str:
        """A token as it reads in running text: with its leading space."""
        return self.tokenizer.decode([token])

    def batch(self, rows: Sequence[Tokens]) -> Batch:
        return pad(
            rows,
            pad_id=self.network.config.pad_token_id or 0,
            side=self.padding_side,
            device=self.device,
        )

    def forward(
        self,
        batch: Batch,
        taps: Mapping[int, Tap] | None = None,
        *,
        after: tuple[int, Tensor] | None = None,
        gradients: bool = False,
    ) -> list[Tensor]:
        """Log-probabilities of each row's answer tokens, (answer tokens,) float32 each.

        `taps` by block see the residual stream on the way. With `after=(block, residual)` the blocks
        up to and including that one are not computed: their output is given.
        """
        keep = torch.arange(int((batch.start + batch.prompt).min()) - 1, batch.ids.shape[1])
        with torch.set_grad_enabled(gradients), self._tapped(taps or {}), self._given(after):
            output = self.network(
                input_ids=batch.ids,
                attention_mask=batch.mask.long(),
                position_ids=batch.place.clamp(min=0),
                use_cache=False,
                logits_to_keep=keep.to(batch.ids.device),
            )
            return answer_logprobs(output.logits, int(keep[0]), batch)

    @torch.no_grad()
    def generate(self, batch: Batch, new_tokens: int, top: int) -> list[list[Step]]:
        """Greedy continuation of each row of prompts, up to its end-of-sequence token."""
        ends = self.network.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        output = self.network.generate(
            input_ids=batch.ids,
            attention_mask=batch.mask.long(),
            max_new_tokens=new_tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=self.network.config.pad_token_id or 0,
        )
        tokens = output.sequences[:, batch.ids.shape[1] :].cpu()
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
    def _given(self, after: tuple[int, Tensor] | None) -> Iterator[None]:
        """Put stand-ins that compute nothing in the place of the first blocks."""
        if after is None:
            yield
            return
        last, residual = after
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
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
        model = transformers.AutoModelForCausalLM.from_pretrained(
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
