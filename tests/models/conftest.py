import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.specs.sae_catalogue import read_catalogue
from harness.specs.targets import load_targets
from tests.helpers.files import write_files
from tests.helpers.hub import BIG, SAES, SHARDS
from tests.helpers.hub_server import Hub, Repo

# A repository of SAELens' registry, as it is called there.
REGISTERED = "chanind/gemma-2-2b-batch-topk-matryoshka-saes-w-32k-l0-40"


def write_registered(top):
    """A tiny SAE of layer 12 in SAELens' layout, where the registry says that one lies."""
    folder = top / "standard" / "blocks.12.hook_resid_post"
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (8, 16), "b_enc": (16,), "W_dec": (16, 8), "b_dec": (8,)}
    arrays = {key: torch.randn(*shape, generator=draw) for key, shape in shapes.items()}
    arrays["threshold"] = torch.rand(16, generator=draw)
    save_file(arrays, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu", "d_in": 8, "d_sae": 16, "dtype": "float32", "apply_b_dec_to_input": True,
        "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.12.0", "hook_name": "blocks.12.hook_resid_post"},
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The repositories of the tests' hub, as folders."""
    top = tmp_path_factory.mktemp("repositories")
    whole = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "{}"}
    write_files(top / "model", whole)
    write_files(top / "shards", {"config.json": "{}"} | SHARDS)
    write_files(top / "saes", {path: path for path in SAES})
    scope = [
        entry.path for entry in read_catalogue("gemma-scope-2b-pt-res") if entry.layer in (0, 12)
    ]
    write_files(top / "scope", {path: path for path in scope})
    write_registered(top / "registered")
    (top / "large").mkdir()
    (top / "large" / "big.bin").write_bytes(np.random.default_rng(0).bytes(BIG))
    return top


@pytest.fixture
def hub(folders):
    repositories = {f"lab/{folder.name}": Repo(folder) for folder in folders.iterdir()} | {
        "lab/gated": Repo(folders / "model", gated=True, token="good"),
        "lab/private": Repo(folders / "model", token="good"),
        REGISTERED: Repo(folders / "registered"),
        "google/gemma-scope-2b-pt-res": Repo(
            folders / "scope", commit=load_targets()["gemma-2-2b"].sae_revision
        ),
    }
    with Hub(repositories, invalid_tokens=("expired",)) as server:
        yield server
