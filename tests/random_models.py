"""Small random SAEs and Gemma 2 models, for tests."""

from functools import cache

import torch
from hypothesis import strategies as st
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
)

from harness.model import LanguageModel
from harness.places import bundled
from harness.sae.jumprelu import Sae


@cache
def tokenizer():
    return AutoTokenizer.from_pretrained(bundled("fixtures", "organism"))


ARCHITECTURES = {
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {}),
    "gemma3": (
        Gemma3TextConfig,
        Gemma3ForCausalLM,
        {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2},
    ),
}


def random_model(
    seed: int = 0,
    padding_side: str = "left",
    layers: int = 4,
    architecture: str = "gemma2",
    dtype: torch.dtype = torch.float32,
) -> LanguageModel:
    """A random Gemma with a window shorter than the texts, so that both attentions are used."""
    torch.manual_seed(seed)
    config, kind, more = ARCHITECTURES[architecture]
    if "layer_types" in more:
        more = {"layer_types": more["layer_types"][:layers]}
    network = kind(
        config(
            vocab_size=len(tokenizer()),
            hidden_size=32,
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
            **more,
        )
    )
    for parameter in network.parameters():
        # The default initialisation is so small that every answer is equally likely.
        parameter.data.normal_(std=0.4)
    return LanguageModel(network.to(dtype), tokenizer(), padding_side)


def random_sae(seed: int = 0, width: int = 32, features: int = 64) -> Sae:
    """A JumpReLU SAE with directions that are not orthogonal and an error term."""
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


saes = st.integers(0, 10**6).map(random_sae)
dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
residuals = st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6)).map(
    lambda t: 3 * torch.randn(t[1], t[2], 32, generator=torch.Generator().manual_seed(t[0]))
)
