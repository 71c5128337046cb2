"""The JSON files that describe models and SAEs: of a bounded size, and of shapes that a machine can hold."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError
from harness.specs.text_file import read_text

LARGEST = 32_000_000  # bytes: the index of a model of a thousand shards has some
# More than any model has, and less than what a loop or an allocation would not come back from.
_MOST = {
    "num_hidden_layers": 10_000,
    "num_layers": 10_000,
    "n_layer": 10_000,
    "hidden_size": 1_000_000,
    "n_embd": 1_000_000,
    "intermediate_size": 10_000_000,
    "n_inner": 10_000_000,
    "vocab_size": 100_000_000,
    "num_attention_heads": 100_000,
    "num_heads": 100_000,
    "n_head": 100_000,
    "num_key_value_heads": 100_000,
    "head_dim": 1_000_000,
    "num_experts": 100_000,
    "num_local_experts": 100_000,
}
# What families call a model's blocks, and the width of its residual stream.
_BLOCKS = ("num_hidden_layers", "n_layer", "num_layers")
_WIDTH = ("hidden_size", "n_embd")


def read_mapping(path: Path) -> dict[str, Any] | None:
    """The object that a file holds; None where it is not there or holds something else."""
    try:
        said = json.loads(read_text(path, LARGEST))
    except (InputError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def check_shape(config: Mapping[str, Any], where: str) -> None:
    """Raises `InputError` where a model's configuration asks for what no machine holds."""
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, dict) else {}):
        for key, most in _MOST.items():
            said = part.get(key)
            if isinstance(said, int) and not 0 <= said <= most:
                what = f"its config.json says {key} {said:.3g}, and no model has more than {most:,}"
                raise InputError(Fault(where, what, "correct it, or name another model"))


def shape_said(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Blocks and width as a configuration says them, each where it does."""
    text = config.get("text_config", config)
    said = (text if isinstance(text, dict) else {}).get
    blocks, width = (
        next((value for name in names if isinstance(value := said(name), int)), None)
        for names in (_BLOCKS, _WIDTH)
    )
    return blocks, width
