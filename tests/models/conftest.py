import numpy as np
import pytest

from harness.specs.sae_catalogue import read_catalogue
from harness.specs.targets import load_targets
from tests.helpers.files import write_files
from tests.helpers.hub import BIG, SAES, SHARDS
from tests.helpers.hub_server import Hub, Repo


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
    (top / "large").mkdir()
    (top / "large" / "big.bin").write_bytes(np.random.default_rng(0).bytes(BIG))
    return top


@pytest.fixture
def hub(folders):
    repositories = {f"lab/{folder.name}": Repo(folder) for folder in folders.iterdir()} | {
        "lab/gated": Repo(folders / "model", gated=True, token="good"),
        "lab/private": Repo(folders / "model", token="good"),
        "google/gemma-scope-2b-pt-res": Repo(
            folders / "scope", commit=load_targets()["gemma-2-2b"].sae_revision
        ),
    }
    with Hub(repositories, invalid_tokens=("expired",)) as server:
        yield server
