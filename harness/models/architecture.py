"""Families of decoders: where their blocks are, which masks they take, and what of them cannot be replayed.

What is the same in all of them is not said: blocks in a list, each a function of the residual stream, whose
attention takes an additive mask and hands its keys and values to a cache. A family that is not in the table
is tried before it is used, see `harness.models.trial_forwards`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import Fault, InputError
from harness.models.attention_masks import Sight

BLOCKS = ("layers", "h", "blocks")
NORMS = (
    "norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm", "layer_norm", "layernorm",
)  # fmt: skip
KINDS = ("full_attention", "sliding_attention")  # of attention, as `layer_types` names them
UNBOUNDED = 2**31 - 1  # tokens, where a configuration names no most


@dataclass(frozen=True)
class Family:
    """In what a family differs from most.

    `windowed`: all blocks attend within the configuration's window, and no `layer_types` say so. `shaped`:
    the decoder gives its output the shape of its input, so that it must have as many columns. `tupled`:
    blocks return a tuple that begins with the stream. `by_column`: blocks hide keys by their columns as
    well, so that no row may be longer than half of their window. `marked`: it is of no use without BOS.
    `known`: it is in the table, and tests hold it against transformers' own forward.
    """

    windowed: bool = False
    shaped: bool = False
    tupled: bool = False
    by_column: bool = False
    marked: bool = False
    known: bool = True


_PLAIN = (
    "apertus", "arcee", "bitnet", "cohere", "cohere2", "cwm", "ernie4_5", "exaone4", "glm", "glm4",
    "gpt_neox", "gpt_oss", "granite", "granitemoe", "helium", "hunyuan_v1_dense", "llama", "ministral",
    "nanochat", "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "persimmon", "phi", "qwen2", "qwen2_moe",
    "qwen3", "seed_oss", "smollm3", "stablelm",
)  # fmt: skip
_MARKED = ("gemma", "gemma2", "gemma3", "gemma3_text", "vaultgemma")
_WINDOWED = ("ministral3", "mistral", "mixtral", "phi3", "qwen3_moe", "starcoder2")
# By the `model_type` of a configuration.
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(_PLAIN, Family()),
    **dict.fromkeys(_MARKED, Family(marked=True)),
    **dict.fromkeys(_WINDOWED, Family(windowed=True)),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), Family(shaped=True)),
    "gpt_neo": Family(shaped=True, tupled=True, by_column=True),
}

UNKNOWN = Family(shaped=True, known=False)


class Architecture:
    """A model's parts and measures, whatever its family calls them.

    Raises `InputError` where its blocks cannot be found, or are of a kind that has no keys to replay.
    """

    def __init__(self, network: Any) -> None:
        # Of the language model within, where the model sees pictures too.
        self.config: Any = network.config.get_text_config()
        kind = self.config.model_type
        self.family = FAMILIES.get(kind, UNKNOWN)
        self.decoder: Any = network.get_decoder() or network.base_model
        lists = (getattr(self.decoder, name, None) for name in BLOCKS)
        blocks = next((one for one in lists if isinstance(one, nn.ModuleList)), None)
        self._types = tuple(getattr(self.config, "layer_types", None) or ())
        odd = sorted({*self._types} - {*KINDS})
        if blocks is None or odd:
            what = f"it has blocks of {' and '.join(odd)}" if odd else "it has no list of blocks"
            what += ", which cannot be computed again from an edited stream"
            raise InputError(Fault(f"models of kind {kind}", what, REMEDY))
        # Embedding models; a value such as `vision` is of pictures alone.
        if getattr(self.config, "use_bidirectional_attention", None) is True:
            what = "its tokens attend to those after them, so that it gives no text's probability"
            raise InputError(Fault(f"models of kind {kind}", what, REMEDY))
        self.blocks: nn.ModuleList = blocks

    @property
    def norm(self) -> nn.Module | None:
        """The norm between the last block and the unembedding; None where none is found."""
        found = (getattr(self.decoder, name, None) for name in NORMS)
        return next((one for one in found if isinstance(one, nn.Module)), None)

    @property
    def longest(self) -> int:
        """How many tokens a prompt may have with an answer."""
        return getattr(self.config, "max_position_embeddings", None) or UNBOUNDED

    @property
    def widest(self) -> int:
        """How many columns a row may have: those of a prompt and of all of its answers."""
        # Of a family that nobody has tried it is not known whether its window is that of all blocks.
        unsure = not self.family.known and not self._types
        window = self._window if self.family.by_column or unsure else None
        # In a replay of rows of several lengths a row's own columns come after the cache's, which may be
        # as many again: a family that counts columns would hide the first of them.
        return (window or UNBOUNDED) // (2 if self.family.by_column else 1)

    @property
    def heads(self) -> int:
        """Of attention, in a block."""
        return self.config.num_attention_heads

    @property
    def cached_width(self) -> int:
        """How many numbers a block's keys are at a position, and as many its values."""
        said = getattr(self.config, "head_dim", None)
        per_head = said or self.config.hidden_size // self.heads
        return per_head * (getattr(self.config, "num_key_value_heads", None) or self.heads)

    @property
    def widest_inside(self) -> int:
        """Of a block's MLP, about; of a mixture of experts, what all that a token takes have together."""
        config = self.config
        names = ("intermediate_size", "n_inner", "ffn_hidden_size")
        said = next((value for name in names if (value := getattr(config, name, None))), None)
        per_expert = getattr(config, "moe_intermediate_size", None)
        taken = getattr(config, "num_experts_per_tok", None) or 1
        return per_expert * taken if per_expert else (said or 4 * config.hidden_size) * taken

    @property
    def residual_factor(self) -> float:
        """How much of what attention and MLP put out a block adds to the stream, as Granite has it."""
        return float(getattr(self.config, "residual_multiplier", None) or 1.0)

    def masks(self, sight: Sight, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
        """Additive masks (rows, 1, queries, keys), one or one a kind of attention: 0, or the lowest."""
        # transformers takes masks of four dimensions as they are. It cannot make these itself: answers
        # side by side are branches of one prompt, and do not see each other.
        if self._types:
            windows = {kind: self._window if kind != KINDS[0] else None for kind in {*self._types}}
            return {kind: _mask(sight, window, dtype) for kind, window in windows.items()}
        return _mask(sight, self._window if self.family.windowed else None, dtype)

    @property
    def _window(self) -> int | None:
        names = ("window_size",) if self.family.by_column else ("sliding_window",)
        return next((getattr(self.config, name, None) for name in names), None)


REMEDY = "name a decoder of another family: docs/models.md lists them"


def _mask(sight: Sight, window: int | None, dtype: torch.dtype) -> Tensor:
    allowed = sight.visible(window)[:, None]
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
