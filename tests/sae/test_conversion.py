"""`.pt` files as safetensors: the same tensors, of a known origin, and nothing run."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from harness.errors import CannotRun, InputError
from harness.sae.conversion import convert
from harness.sae.weights import check_sae, load_sae
from tests.helpers.cli import invoke

PEERS = Path(__file__).parent / "peers" / "dictionary_learning"
WIDTH = 16


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parts(sae):
    return [sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, sae.threshold]


def same(one, other):
    assert (one.top_k, one.l0, one.site, one.relu) == (
        other.top_k,
        other.l0,
        other.site,
        other.relu,
    )
    for a, b in zip(parts(one), parts(other), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", sorted(path.name for path in PEERS.iterdir()))
def test_a_converted_dictionary_is_the_same_one(tmp_path, kind):
    source = PEERS / kind / "ae.pt"
    (made,) = convert(source, tmp_path / "out")
    assert made.path == tmp_path / "out" / "ae.safetensors"
    same(load_sae(made.path, width=WIDTH, layer=5), load_sae(source, width=WIDTH, layer=5))
    state = torch.load(source, weights_only=True)
    found = load_file(made.path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())
    with safe_open(made.path, "pt") as file:
        assert file.metadata() == {
            "source": "ae.pt", "source_sha256": sha256(source), "configuration": "config.json",
            "configuration_sha256": sha256(source.parent / "config.json"),
        }  # fmt: skip


def test_a_folder_keeps_its_places_and_the_command_says_every_hash(tmp_path):
    found = invoke("convert", PEERS, tmp_path / "out")
    assert found.exit_code == 0, found.output
    lines = dict(reversed(line.split("  ", 1)) for line in found.stdout.splitlines())
    kinds = sorted(path.name for path in PEERS.iterdir())
    written = [tmp_path / "out" / kind / "ae.safetensors" for kind in kinds]
    files = [PEERS / kind / name for kind in kinds for name in ("ae.pt", "config.json")]
    assert lines == {str(path): sha256(path) for path in written + files}


def test_qwen_scopes_k_goes_with_the_file(tmp_path):
    """The folder that says it stays behind."""
    folder = tmp_path / "models--Qwen--SAE-Res-Qwen3-8B-Base-W1K-L0_50" / "snapshots" / "0a1"
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (1024, WIDTH), "b_enc": (1024,), "W_dec": (WIDTH, 1024), "b_dec": (WIDTH,)}
    state = {key: torch.randn(shape, generator=draw) for key, shape in shapes.items()}
    torch.save(state, folder / "layer5.sae.pt")
    (made,) = convert(folder, tmp_path / "out")
    assert made.path.name == "layer5.sae.safetensors"
    assert check_sae(made.path, width=WIDTH, layer=5) == "resid_post"
    same(load_sae(made.path, width=WIDTH, layer=5), load_sae(folder / "layer5.sae.pt", width=WIDTH))
    assert load_sae(made.path, width=WIDTH).top_k == 50


def test_views_and_shared_numbers_are_written_out(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    state = {
        "a": whole,
        "b": whole.T,
        "c": whole[1],
        "d": torch.tensor(3),
        "e": whole.bfloat16(),
        "f": whole,
    }
    torch.save(state, tmp_path / "x.pt")
    (made,) = convert(tmp_path / "x.pt", tmp_path / "out")
    found = load_file(made.path)
    for key, value in state.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_what_would_run_code_is_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / "saes"
    shutil.copytree(PEERS / "BatchTopKSAE", folder / "a")
    (folder / "b").mkdir()
    torch.save({"x": Bomb(str(tmp_path / "made"))}, folder / "b" / "ae.pt")
    found = invoke("convert", folder, tmp_path / "out")
    assert found.exit_code == 3
    assert "it names posix.mkdir, and no code of it is run" in found.stderr
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "state, said",
    [
        ([torch.zeros(2)], "it holds a list, not tensors by name"),
        ({"a": [1]}, "a is a list, not a tensor"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "a holds complex numbers"),
        (None, "it is no file of torch.save, or cut short"),
    ],
)
def test_what_is_no_state_dictionary_is_one_sentence(tmp_path, state, said):
    path = tmp_path / "ae.pt"
    path.write_bytes(b"x") if state is None else torch.save(state, path)
    with pytest.raises(CannotRun, match=said) as caught:
        list(convert(path, tmp_path / "out"))
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_there_must_be_something_to_convert(tmp_path):
    with pytest.raises(InputError, match=r"it has no \.pt file; name a \.pt"):
        list(convert(tmp_path, tmp_path / "out"))
    (tmp_path / "params.npz").touch()
    with pytest.raises(InputError, match=r"it is no \.pt file"):
        list(convert(tmp_path / "params.npz", tmp_path / "out"))
    assert invoke("convert", tmp_path / "gone", tmp_path / "out").exit_code == 2


def test_nothing_is_written_over(tmp_path):
    source, out = PEERS / "BatchTopKSAE" / "ae.pt", tmp_path / "out"
    list(convert(source, out))
    with pytest.raises(CannotRun, match="it is there already"):
        list(convert(source, out))
    (out / "ae.safetensors").unlink()
    (out / "config.json").write_text(json.dumps({}))
    with pytest.raises(CannotRun, match="another configuration is there already"):
        list(convert(source, out))
    assert not (out / "ae.safetensors").exists()
    (tmp_path / "file").touch()
    with pytest.raises(CannotRun, match="cannot be written"):
        list(convert(source, tmp_path / "file" / "x"))
