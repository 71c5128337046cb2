"""Small random Gemma 2 and Gemma 3 models, and SAEs for them: a forward takes milliseconds."""

from functools import cache
from typing import Any, Literal, get_args

import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
)

from harness.argument_types import Count, checked
from harness.errors import Fault, InputError
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import PaddingSide
from harness.paths import bundled
from harness.sae import Sae

Architecture = Literal["gemma2", "gemma3"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
WIDTH = 32  # of the random models' residual stream


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
    """A random Gemma of width 32 with a window shorter than most texts: both attentions are used.

    Arguments:
        seed: of the weights; torch's global seed is set to it.
        padding_side: where the shorter rows of a batch are filled up.
        layers: how many blocks; Gemma 3 takes at most 6.
        architecture: one of `ARCHITECTURES`.
        dtype: what it computes in.

    Returns:
        A model on the CPU with eager attention, whose residual stream is (rows, tokens, 32). The same
        arguments give the same weights.

    Raises:
        InputError: where an argument is another thing than it says above.
        OSError: where the installation lacks the tokenizer.
    """
    config_class, model_class, more = _ARCHITECTURES[architecture]
    if any(layers > len(values) for values in more.values()):
        raise InputError(Fault(f"layers {layers}", f"{architecture} has at most 6", "give fewer"))
    torch.manual_seed(seed)
    network = model_class(
        config_class(
            vocab_size=len(tokenizer()),
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            query_pre_attn_scalar=8,
            sliding_window=8,
            max_position_embeddings=256,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
            attn_implementation="eager",
            **{name: values[:layers] for name, values in more.items()},
        )
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


_ARCHITECTURES: dict[str, tuple[Any, Any, dict[str, list[str]]]] = {
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {}),
    "gemma3": (
        Gemma3TextConfig,
        Gemma3ForCausalLM,
        {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2},
    ),
}
