"""Which site a hook point or a folder of a published collection stands for."""

import pytest

from harness.specs.sae_configuration import (
    Place,
    configurations_beside,
    hooks_said,
    place_of,
    read_configuration,
    site_named,
)

SITES = {
    "resid_post": (
        "blocks.2.hook_resid_post", "blocks.2", "model.layers.2", "model.layers.2.output", "layers.2",
        "transformer.h.2", "gpt_neox.layers.2.output.0", "model.language_model.layers.2.output[0]",
    ),
    "resid_pre": ("blocks.2.hook_resid_pre", "blocks.2.hook_in", "model.layers.2.input"),
    "mlp_out": (
        "blocks.2.hook_mlp_out", "blocks.2.mlp.hook_out", "model.layers.2.mlp", "layers.2.mlp",
        "model.layers.2.mlp.output", "model.layers.2.post_feedforward_layernorm.output",
        "gpt_neox.layers.2.mlp", "h.2.mlp",
    ),
    "attn_out": (
        "blocks.2.hook_attn_out", "model.layers.2.self_attn", "model.layers.2.self_attn.output",
        "model.layers.2.self_attn.output.0", "gpt_neox.layers.2.attention", "transformer.h.2.attn",
    ),
    "attn_z": (
        "blocks.2.attn.hook_z", "blocks.2.hook_z", "model.layers.2.self_attn.o_proj.input",
        "transformer.h.2.attn.c_proj.input", "gpt_neox.layers.2.attention.dense.input",
    ),
}  # fmt: skip


@pytest.mark.parametrize("site, hook", [(site, hook) for site, hooks in SITES.items() for hook in hooks])  # fmt: skip
def test_a_hook_point_has_a_site_and_a_layer(site, hook):
    assert place_of(hook) == place_of(hook, hook) == Place(site, 2)


@pytest.mark.parametrize(
    "read, without_gain",
    [
        *(("blocks.2.mlp.hook_in", False), ("blocks.2.ln2.hook_normalized", True)),
        *(("model.layers.2.mlp.input", False), ("layers.2.post_attention_layernorm.output", False)),
        ("model.layers.2.pre_feedforward_layernorm.output", False),
    ],
)
@pytest.mark.parametrize("written", ["blocks.2.hook_mlp_out", "model.layers.2.mlp.output", "model.layers.2.post_feedforward_layernorm.output"])  # fmt: skip
def test_what_the_mlp_reads_and_writes_is_a_transcoder(read, without_gain, written):
    assert place_of(read, written) == Place("transcoder", 2, without_gain)
    assert place_of(read) is None
    assert place_of(read, written.replace("2", "3")) is None


@pytest.mark.parametrize(
    "read, written",
    [
        *(("hook_embed", None), ("blocks.2.hook_resid_mid", None), ("blocks.2.hook_mlp_in", None)),
        *(("blocks.2.ln1.hook_normalized", None), ("vision_tower.encoder.layers.2", None)),
        *(("blocks.2.hook_resid_post", "blocks.2.hook_mlp_out"), ("", None), ("blocks.2.", None)),
        *(("blocks.2.hook_mlp_in", "blocks.2.hook_mlp_out"), ("blocks.2.mlp.hook_in", "x")),
        *(("blocks.99999999999", None), ("blocks.-1", None), ("model.layers.2.mlp.up_proj", None)),
        ("model.layers.2.post_attention_layernorm", None),  # of some it is the MLP's norm
    ],
)
def test_other_places_are_none(read, written):
    assert place_of(read, written) is None


def test_names_of_transformers_come_before_those_of_transformer_lens():
    """SAELens calls what Gemma Scope 2's transcoders read by a hook of another place."""
    said = {
        "hook_name": "blocks.5.hook_mlp_in", "hook_name_out": "blocks.5.hook_mlp_out",
        "hf_hook_name": "model.layers.5.pre_feedforward_layernorm.output",
    }  # fmt: skip
    assert hooks_said(said) == (said["hf_hook_name"], "blocks.5.hook_mlp_out")
    assert place_of(*hooks_said(said)) == Place("transcoder", 5)
    assert place_of(*hooks_said({"hook_point": "blocks.5.hook_mlp_out"})) == Place("mlp_out", 5)
    assert place_of(*hooks_said({})) is None
    assert place_of(*hooks_said({"hook_name": [1]})) is None


@pytest.mark.parametrize(
    "path, site",
    [
        ("google/gemma-scope-2b-pt-res/layer_5/params.npz", "resid_post"),
        ("models--google--gemma-scope-9b-it-mlp/snapshots/0/layer_5/params.npz", "mlp_out"),
        ("gemma-scope-2b-pt-att/layer_5/width_16k/average_l0_9/params.npz", "attn_z"),
        ("gemma-scope-2b-pt-transcoders/layer_5/params.npz", "transcoder"),
        ("gemma-scope-2-1b-pt/resid_post_all/layer_5/params.safetensors", "resid_post"),
        ("gemma-scope-2-1b-pt/mlp_out/layer_5/params.safetensors", "mlp_out"),
        ("gemma-scope-2-1b-pt/attn_out_all/layer_5/params.safetensors", "attn_z"),
        ("gemma-scope-2-1b-pt/transcoder_all/layer_5_affine/params.safetensors", "transcoder"),
        ("fnlp/Llama3_1-8B-Base-LXA-8x/Llama3_1-8B-Base-L5A-8x/checkpoints/f", "attn_out"),
        ("Llama3_1-8B-Base-L5M-8x/checkpoints/final.safetensors", "mlp_out"),
        ("Llama3_1-8B-Base-L5TC-8x/checkpoints/final.safetensors", "transcoder"),
        ("800M-Slimpajama/L5R/sae_weights.safetensors", "resid_post"),
        ("mwhanna/qwen3-4b-transcoders/layer_1.safetensors", "transcoder"),
        ("mwhanna/qwen3-0.6b-transcoders-lowl0/layer_1.safetensors", "transcoder"),
        ("saes/mlp_out_layer_5/trainer_0/ae.pt", "mlp_out"),
        ("EleutherAI/sae-SmolLM2/layers.5.mlp/sae.safetensors", "mlp_out"),
        ("gpt2/blocks.5.hook_attn_out/sae_weights.safetensors", "attn_out"),
        # The innermost folder that says anything does.
        ("mlp_out/attn_out_all/params.safetensors", "attn_z"),
        # Nothing but a whole name of a collection counts.
        ("my_mlp_out_saes/test_transcoder0/params.npz", None),
        ("saes/attention/mlp/params.npz", None),
        ("params.npz", None),
        ("mlp_out", None),
    ],
)
def test_the_folders_of_published_collections_name_a_site(path, site):
    assert site_named(path) == site


def test_what_lies_beside_is_known_by_the_name():
    assert configurations_beside("a/layers.5.mlp/sae.safetensors") == ("a/layers.5.mlp/cfg.json",)
    assert configurations_beside("layer_5.safetensors") == ("config.yaml",)
    assert configurations_beside("a/layer5.sae.pt") == ("a/config.json",)
    assert configurations_beside("a/layer_5.npz") == ()


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "a: &b [*b]", "1", "a: 1\n---\nb: 2", "\x00"])
def test_yaml_that_is_no_mapping_is_nothing(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    assert read_configuration(tmp_path / "config.yaml") is None
    (tmp_path / "config.yaml").write_text("model_kind: transcoder_set")
    assert read_configuration(tmp_path / "config.yaml") == {"model_kind": "transcoder_set"}
    assert read_configuration(tmp_path / "gone.yaml") is None
