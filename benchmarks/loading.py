"""How long a dictionary takes to be read, beside its file's bytes alone.

`python -m benchmarks.loading [--quick]`

Files of 16,384 features of a stream of 2,304 dimensions in float32, 302 MB, in four layouts; both ways read a
file that the system's cache has.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.figures import figure, seconds
from harness.sae.weights import load_sae

WIDTH, FEATURES, QUICK = 2304, 16_384, (512, 2048)
BAR = 2.0  # times a raw read


def main() -> int:
    """Print a line a layout; returns 1 where one takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    width, features = QUICK if parser.parse_args().quick else (WIDTH, FEATURES)
    return int(not all(times(width, features, rounds=7)))


def times(width: int, features: int, rounds: int) -> list[bool]:
    """How many times as long as its bytes each layout takes, medians of rounds."""
    held = []
    with tempfile.TemporaryDirectory() as folder:
        for name, write in LAYOUTS.items():
            path = write(Path(folder) / name, width, features)
            load = partial(load_sae, path, width=width, layer=5)
            load(), path.read_bytes()
            taken = [seconds(load) / seconds(path.read_bytes) for _ in range(rounds)]
            times = statistics.median(taken)
            held.append(figure(f"loading: {name} / its bytes", times, "x", BAR, at_most=True))
            path.unlink()
    return held


def _arrays(width: int, features: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "W_enc": torch.randn(width, features, generator=generator),
        "W_dec": torch.randn(features, width, generator=generator),
        "b_enc": torch.zeros(features),
        "b_dec": torch.ones(width),
        "threshold": torch.ones(features),
    }


def _gemma_scope(folder: Path, width: int, features: int) -> Path:
    folder.mkdir()
    arrays = {key: value.numpy() for key, value in _arrays(width, features).items()}
    np.savez(folder / "params.npz", **arrays)
    return folder / "params.npz"


def _gemma_scope_2(folder: Path, width: int, features: int) -> Path:
    folder.mkdir()
    arrays = _arrays(width, features)
    save_file({key.lower(): value for key, value in arrays.items()}, folder / "params.safetensors")
    return folder / "params.safetensors"


def _saelens_topk(folder: Path, width: int, features: int) -> Path:
    folder.mkdir()
    arrays = _arrays(width, features)
    del arrays["threshold"]
    save_file(arrays, folder / "sae_weights.safetensors")
    config = {"architecture": "topk", "d_in": width, "d_sae": features, "k": 32}
    config |= {"hook_name": "blocks.5.hook_resid_post", "apply_b_dec_to_input": True}
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    return folder / "sae_weights.safetensors"


def _dictionary_learning(folder: Path, width: int, features: int) -> Path:
    folder.mkdir()
    arrays = _arrays(width, features)
    state = {
        "encoder.weight": arrays["W_enc"].T.contiguous(), "encoder.bias": arrays["b_enc"],
        "decoder.weight": arrays["W_dec"].T.contiguous(), "b_dec": arrays["b_dec"],
        "k": torch.tensor(32), "threshold": torch.tensor(1.0),
    }  # fmt: skip
    torch.save(state, folder / "ae.pt")
    trainer = {"dict_class": "BatchTopKSAE", "layer": 5, "activation_dim": width, "k": 32}
    (folder / "config.json").write_text(
        json.dumps({"trainer": trainer | {"dict_size": features}}), encoding="utf-8"
    )
    return folder / "ae.pt"


LAYOUTS: dict[str, Callable[[Path, int, int], Path]] = {
    "GemmaScope's npz": _gemma_scope,
    "Gemma Scope 2's safetensors": _gemma_scope_2,
    "SAELens' TopK, folded": _saelens_topk,
    "dictionary_learning's pt, folded": _dictionary_learning,
}


if __name__ == "__main__":
    sys.exit(main())
