"""Files that other libraries wrote, held against what those libraries compute of them: `peers/write.py`."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import CannotRun
from harness.sae.encoding import decode, encode, written_part
from harness.sae.weights import check_sae, load_sae

PEERS = Path(__file__).parent / "peers"
WEIGHTS = ("sae_weights.safetensors", "sae.safetensors", "ae.pt")
FILES = sorted(path for path in PEERS.rglob("*") if path.name in WEIGHTS)
WIDTH, LAYER, K = 16, 5, 6
# By the folder within `peers`, where it is not the stream after the block.
HOOKS = {
    "hook_z": "attn_out", "constant_norm_rescale": "attn_out", "topk_rescaled": "mlp_out",
    "num_latents": "mlp_out", "transcoder": "transcoder",
}  # fmt: skip


def kind_of(path):
    return path.relative_to(PEERS).parts[1]


def hook_of(path):
    kind = kind_of(path)
    return HOOKS.get("transcoder" if kind.endswith("transcoder") else kind, "resid_post")


def named(path):
    return "-".join(path.relative_to(PEERS).parts[:2])


def of_peer(path):
    outputs = load_file(path.parent / "outputs.safetensors")
    return outputs["x"], outputs["features"], outputs["reconstruction"]


def differences(sae, x, features, reconstruction):
    """The largest of the features and of the reconstruction, which is what a transcoder writes."""
    held = torch.cat([x, torch.zeros_like(reconstruction)], -1) if sae.held_width > WIDTH else x
    found = encode(sae, held)
    made = decode(sae, found, held)
    assert written_part(sae, held).shape == made.shape
    return [float((a - b).abs().max()) for a, b in ((found, features), (made, reconstruction))]


def test_there_is_a_file_of_every_kind():
    assert {path.relative_to(PEERS).parts[0] for path in FILES} == {
        "sae_lens", "sparsify", "dictionary_learning",
    }  # fmt: skip
    assert len(FILES) == 33


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_peers_file_is_read_as_the_peer_reads_it(path):
    hook = hook_of(path)
    site = check_sae(path, width=WIDTH, layer=LAYER, hook=hook)
    sae = load_sae(path, width=WIDTH, layer=LAYER, hook=hook)
    assert site == sae.site == ("attn_z" if kind_of(path) == "hook_z" else hook)
    x, features, reconstruction = of_peer(path)
    # Sparse and not empty, and of every feature that fires nowhere nothing is known.
    assert 0.05 < float((features > 0).float().mean()) < 0.9
    assert max(differences(sae, x, features, reconstruction)) < 1e-5


@pytest.mark.parametrize("path", [p for p in FILES if "topk" in named(p).lower() or "sparsify" in named(p)], ids=named)  # fmt: skip
def test_topk_has_its_k_and_publishes_it(path):
    sae = load_sae(path, width=WIDTH, layer=LAYER, hook=hook_of(path))
    by_threshold = "batch" in kind_of(path).lower()
    assert sae.top_k == (None if by_threshold else K)
    if not by_threshold:
        assert sae.l0 == K


@pytest.mark.parametrize("path", FILES, ids=named)
def test_another_width_is_refused(path):
    hook = hook_of(path)
    if kind_of(path) == "hook_z":  # the heads' width is another than the stream's
        assert load_sae(path, width=WIDTH + 1, layer=LAYER, hook=hook).width == WIDTH
    else:
        with pytest.raises(Exception, match="for a model of width 17"):
            check_sae(path, width=WIDTH + 1, layer=LAYER, hook=hook)


def test_the_stream_before_a_block_is_the_one_after_the_block_below(tmp_path):
    path = PEERS / "sae_lens" / "resid_pre" / "sae_weights.safetensors"
    assert check_sae(path, width=WIDTH, layer=5) == "resid_post"
    assert check_sae(path, width=WIDTH, layer=6, hook="resid_pre") == "resid_pre"
    with pytest.raises(CannotRun, match="trained on layer 6, not on layer 5"):
        check_sae(path, width=WIDTH, layer=5, hook="resid_pre")
    shutil.copytree(path.parent, tmp_path / "first")
    config = tmp_path / "first" / "cfg.json"
    config.write_text(config.read_text().replace("blocks.6", "blocks.0"))
    first = tmp_path / "first" / path.name
    assert check_sae(first, width=WIDTH, layer=0, hook="resid_pre") == "resid_pre"
    with pytest.raises(CannotRun, match=r"the stream before a block, .*; write hook: resid_pre"):
        check_sae(first, width=WIDTH)
