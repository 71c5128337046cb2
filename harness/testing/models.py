"""Small random decoders of many families, and SAEs for them: a forward takes milliseconds."""

from functools import cache
from typing import Any, Literal, get_args

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from harness.argument_types import Count, checked
from harness.errors import Fault, InputError
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import PaddingSide
from harness.paths import bundled
from harness.sae import Sae

Architecture = Literal[
    "gemma2", "gemma3", "llama", "mistral", "qwen2", "qwen3", "olmo2", "phi3", "smollm3", "gpt_neox",
    "gpt2", "gpt_neo", "gpt_oss", "qwen3_moe", "granite", "cohere", "gemma3_multimodal",
]  # fmt: skip
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
WIDTH = 32  # of the random models' residual stream
MOST = 6  # blocks


@cache
def tokenizer() -> Any:
    """The organism's tokenizer, which travels with the package: words of kinematics, BOS is 2.

    Returns:
        A tokenizer of transformers, read once.

    Raises:
        OSError: where the installation lacks it.
    """
    return AutoTokenizer.from_pretrained(bundled("fixtures", "organism"))


@checked
def random_model(
    seed: int = 0,
    padding_side: PaddingSide = "left",
    layers: Count = 4,
    architecture: Architecture = "gemma2",
    dtype: torch.dtype = torch.float32,
) -> LanguageModel:
    """A random decoder of width 32. Where the family has a window, it is shorter than most texts.

    Arguments:
        seed: of the weights; torch's global seed is set to it.
        padding_side: where the shorter rows of a batch are filled up.
        layers: how many blocks, at most 6.
        architecture: one of `ARCHITECTURES`.
        dtype: what it computes in.

    Returns:
        A model on the CPU with eager attention, whose residual stream is (rows, tokens, 32). The same
        arguments give the same weights.

    Raises:
        InputError: where an argument is another thing than it says above.
        OSError: where the installation lacks the tokenizer.
    """
    if layers > MOST:
        raise InputError(Fault(f"layers {layers}", f"there are at most {MOST}", "give fewer"))
    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_config(
        _configuration(architecture, layers), attn_implementation="eager"
    )
    for parameter in network.parameters():
        # The default initialisation is so small that every answer is equally likely.
        parameter.data.normal_(std=0.4)
    return LanguageModel(network.to(dtype), tokenizer(), padding_side)


@checked
def random_sae(seed: int = 0, width: Count = WIDTH, features: Count = 64) -> Sae:
    """A JumpReLU SAE in float32 with directions that are not orthogonal and an error term.

    Arguments:
        seed: of its weights, without touching torch's global seed.
        width: of the residual stream that it reads.
        features: how many it has.

    Returns:
        An SAE with decoder rows of length 1. Unlike `harness.sae.mock.jumprelu` its encoder is noisy and
        some of its thresholds are near 0.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    decoder = normal(features, width)
    decoder = decoder / decoder.norm(dim=1, keepdim=True)
    return Sae(
        w_enc=decoder.T + 0.2 * normal(width, features),
        b_enc=0.3 * normal(features),
        w_dec=decoder,
        b_dec=normal(width),
        threshold=normal(features).abs(),
    )


def _configuration(architecture: Architecture, layers: int) -> Any:
    kind, own = _OWN.get(architecture, (architecture, {}))
    own = {name: value[:layers] if name == "layer_types" else value for name, value in own.items()}
    text = _SHARED | {"vocab_size": len(tokenizer()), "num_hidden_layers": layers} | own
    if architecture.startswith("gpt_neo") or architecture == "gpt2":
        text = {name: value for name, value in text.items() if name not in _LATER}
    if architecture == "gpt_neo":
        text["attention_types"] = [[["local"], layers]]
    if architecture != "gemma3_multimodal":
        return AutoConfig.for_model(kind, **text)
    pictures: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "image_size": 28,
    }
    pictures |= {"num_attention_heads": 2, "patch_size": 14, "model_type": "siglip_vision_model"}
    return AutoConfig.for_model(kind, text_config=text, vision_config=pictures)


_SHARED: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "sliding_window": 8,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
_LATER = ("num_key_value_heads", "head_dim", "sliding_window")  # than those of GPT
_ALTERNATING = ["sliding_attention", "sliding_attention", "full_attention"] * 2
_GPT = {"n_embd": WIDTH, "n_head": 4, "n_positions": 256}
_EXPERTS = {"num_experts_per_tok": 2, "num_experts": 4, "moe_intermediate_size": 32}
# What an architecture is called by transformers, and what is its own.
_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", {"query_pre_attn_scalar": 8, "layer_types": _ALTERNATING}),
    "gemma3_multimodal": ("gemma3", {"query_pre_attn_scalar": 8, "layer_types": _ALTERNATING}),
    "gpt2": ("gpt2", _GPT),
    "gpt_neo": ("gpt_neo", {"num_heads": 4, "window_size": 64}),
    "gpt_oss": ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": ("qwen3_moe", _EXPERTS | {"use_sliding_window": True}),
}
