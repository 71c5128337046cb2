"""A tiny random model of every family in the table of architectures."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.models.language_model import LanguageModel
from harness.testing.models import tokenizer

TINY = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "sliding_window": 8,
    "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
}  # fmt: skip
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
OWN = {
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["local"], 2]], "window_size": 64},
    "gpt2": GPT, "gpt_bigcode": GPT,
    **dict.fromkeys(("gpt_oss", "mixtral", "olmoe", "qwen3_moe", "granitemoe"), EXPERTS),
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 32},
}  # fmt: skip


def tiny(kind, **config):
    """A model of two blocks, of a `kind` that transformers knows."""
    torch.manual_seed(0)
    said = AutoConfig.for_model(kind, **TINY | OWN.get(kind, {}) | config)
    network = AutoModelForCausalLM.from_config(said, attn_implementation="eager")
    for weight in network.parameters():
        weight.data.normal_(std=0.3)
    return LanguageModel(network, tokenizer())
