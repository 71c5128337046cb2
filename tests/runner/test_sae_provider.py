"""Dictionaries as a run reads them: at the model's site, with the norm's weights taken into account."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CannotRun
from harness.runner.sae_provider import read_sae, sae_provider, site_read
from harness.sae.encoding import encode
from harness.specs.targets import UNKNOWN
from harness.testing.models import random_model

WIDTH, FEATURES = 32, 48
TARGET = replace(UNKNOWN, name="t", sae="./saes", width=WIDTH)


def write(folder, read, written=None, width=WIDTH):
    """A dictionary as SAELens writes one: its encoder, (width, features)."""
    generator = torch.Generator().manual_seed(1)
    encoder = torch.randn(width, FEATURES, generator=generator)
    config = {
        "architecture": "transcoder" if written else "standard", "d_in": width, "d_sae": FEATURES,
        "apply_b_dec_to_input": False, "hook_name": read, "normalize_activations": "none",
    }  # fmt: skip
    config |= {"hook_name_out": written, "d_out": WIDTH} if written else {}
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps(config))
    out = WIDTH if written else width
    tensors = {"W_enc": encoder, "b_enc": torch.zeros(FEATURES), "W_dec": encoder.T[:, :out].contiguous(),
               "b_dec": torch.zeros(out)}  # fmt: skip
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder / "sae_weights.safetensors", encoder


def test_a_transcoder_of_what_a_norm_puts_out_before_its_weights_reads_what_comes_after(tmp_path):
    file, encoder = write(tmp_path / "a", "blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out")
    target = replace(TARGET, hook="transcoder")
    assert site_read(target, {1: file}) == "transcoder"
    model = random_model(3, architecture="llama").at("transcoder")
    weight = model.blocks[1].post_attention_layernorm.weight
    weight.data.uniform_(0.5, 2.0)
    sae = read_sae(target, file, 1, model)
    normed = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(2))
    held = torch.cat([normed * weight.detach(), torch.zeros(7, WIDTH)], -1)
    torch.testing.assert_close(encode(sae, held), (normed @ encoder).relu(), atol=1e-4, rtol=1e-4)


def test_of_a_layer_norm_it_is_not_known_and_the_other_name_is(tmp_path):
    """TransformerLens has the hook after LayerNorm's weights, and before them where they were folded."""
    file, _ = write(tmp_path / "a", "blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out")
    target = replace(TARGET, hook="transcoder")
    model = random_model(3, architecture="gpt2").at("transcoder")
    with pytest.raises(CannotRun, match=r"write blocks\.1\.mlp\.hook_in into its configuration"):
        read_sae(target, file, 1, model)
    named, encoder = write(tmp_path / "b", "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out")
    assert torch.equal(read_sae(target, named, 1, model).w_enc, encoder)


def test_layers_that_read_different_sites_are_refused_together(tmp_path):
    heads, _ = write(tmp_path / "a", "blocks.1.attn.hook_z")
    added, _ = write(tmp_path / "b", "blocks.2.hook_attn_out")
    with pytest.raises(CannotRun, match="its layers read different sites: attn_out, attn_z"):
        site_read(replace(TARGET, hook="attn_out"), {1: heads, 2: added})


def test_an_sae_of_another_width_than_the_heads_have_is_refused(tmp_path):
    file, _ = write(tmp_path / "a", "blocks.1.attn.hook_z", width=24)
    model = random_model(3, architecture="llama").at("attn_z")
    assert model.held_width == 32
    with pytest.raises(CannotRun, match="it reads 24 dimensions, and there are 32"):
        sae_provider(replace(TARGET, hook="attn_out"), {1: file}, model)(1)
