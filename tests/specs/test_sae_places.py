"""Where a dictionary reads: its hook, from hook points, configurations, and the names of files and folders."""

import json

import pytest

from harness.errors import InputError
from harness.specs.sae_catalogue import known_entries, list_entries, read_catalogue, scan_folder
from harness.specs.sae_entry import at_hook, choose_entry
from harness.specs.sae_places import place_named
from harness.specs.sites import HOOKS
from harness.specs.targets import load_targets
from tests.helpers.files import write_files


@pytest.mark.parametrize(
    "hook, place",
    [
        *(("blocks.2.hook_resid_post", (2, "resid_post")), ("model.layers.2", (2, "resid_post"))),
        *(("blocks.2.hook_resid_pre", (2, "resid_pre")), ("blocks.0.hook_in", (0, "resid_pre"))),
        *(("model.layers.2.input", (2, "resid_pre")), ("h.2.output.0", (2, "resid_post"))),
        *(("model.layers.2.input[0]", (2, "resid_pre")), ("blocks.2.mlp.hook_out", (2, "mlp_out"))),
        *(("blocks.2.hook_mlp_out", (2, "mlp_out")), ("model.layers.2.mlp.output", (2, "mlp_out"))),
        ("model.layers.2.post_feedforward_layernorm.output", (2, "mlp_out")),
        *(("blocks.2.attn.hook_z", (2, "attn_out")), ("blocks.2.hook_attn_out", (2, "attn_out"))),
        ("model.layers.2.self_attn.o_proj.input", (2, "attn_out")),
        *(("blocks.2.hook_mlp_in", (2, "transcoder")), ("blocks.2.mlp.hook_in", (2, "transcoder"))),
        ("blocks.2.ln2.hook_normalized", (2, "transcoder")),
        ("model.layers.2.pre_feedforward_layernorm.output", (2, "transcoder")),
        *(("hook_embed", None), ("blocks.2.hook_resid_mid", None), ("model.norm", None)),
        pytest.param(
            f"blocks.{'9' * 5000}.hook_resid_post", None, id="more digits than Python reads"
        ),
        *(("vision_tower.encoder.layers.2", None), ("blocks.2.ln1.hook_normalized", None)),
    ],
)
def test_a_hook_point_tells_a_block_and_a_hook(hook, place):
    assert place_named(hook) == place


@pytest.mark.parametrize(
    "read, written, place",
    [
        ("blocks.3.hook_mlp_in", "blocks.3.hook_mlp_out", (3, "transcoder")),
        ("blocks.3.hook_mlp_in", "blocks.3.hook_mlp_in", None),
        ("blocks.3.hook_mlp_in", "blocks.4.hook_mlp_out", None),
        ("blocks.3.hook_resid_post", "blocks.3.hook_resid_post", (3, "resid_post")),
        ("blocks.3.hook_resid_post", "blocks.4.hook_resid_post", None),
    ],
)
def test_what_reads_before_an_mlp_is_a_transcoder_where_it_writes_after_it(read, written, place):
    assert place_named(read, written) == place


NAMED = {
    "layer_5/width_16k/average_l0_68/params.npz": (5, "resid_post"),
    "resid_post/layer_9_width_65k_l0_small/params.safetensors": (9, "resid_post"),
    "resid_post_all/layer_9_width_65k_l0_small/params.safetensors": (9, "resid_post"),
    "attn_out_all/layer_9_width_16k_l0_small/params.safetensors": (9, "attn_out"),
    "mlp_out/layer_9_width_16k_l0_small/params.safetensors": (9, "mlp_out"),
    "transcoder_all/layer_9_width_16k_l0_big_affine/params.safetensors": (9, "transcoder"),
    "clt/layer_9_width_16k_l0_big/params.safetensors": None,
    "crosscoder/layer_9_width_16k_l0_big/params.safetensors": None,
    "embedding/width_4k/average_l0_6/params.npz": None,
    "blocks.4.hook_resid_pre/sae_weights.safetensors": (4, "resid_pre"),
    "blocks.4.hook_attn_out/sae_weights.safetensors": (4, "attn_out"),
    "blocks.4.hook_resid_mid/sae_weights.safetensors": None,
    "saes_model/mlp_out_layer_11/trainer_1/ae.pt": (11, "mlp_out"),
    "resid_post_layer_11/trainer_1/ae.pt": (11, "resid_post"),
    "Llama3_1-8B-Base-L15R-8x/checkpoints/final.safetensors": (15, "resid_post"),
    "Llama3_1-8B-Base-L15A-8x/checkpoints/final.safetensors": (15, "attn_out"),
    "Llama3_1-8B-Base-L15M-8x/checkpoints/final.safetensors": (15, "mlp_out"),
    "Llama3_1-8B-Base-L15TC-8x/checkpoints/final.safetensors": (15, "transcoder"),
    "layers.7/sae.safetensors": (7, "resid_post"),
    "layers.7.mlp/sae.safetensors": (7, "mlp_out"),
    "model.layers.7.mlp/sae.safetensors": (7, "mlp_out"),
    "layer7.sae.pt": (7, "resid_post"),
    "layer_7.safetensors": (7, "transcoder"),
    "features/layer_7.bin": None,
}


@pytest.mark.parametrize("path, place", NAMED.items())
def test_the_published_names_tell_a_layer_and_a_hook(path, place):
    found = known_entries([path])
    assert [(entry.layer, entry.hook) for entry in found] == ([place] if place else [])


@pytest.mark.parametrize(
    "collection, path, place",
    [
        ("gemma-scope-9b-pt-mlp", "layer_5/width_16k/average_l0_68/params.npz", (5, "mlp_out")),
        ("gemma-scope-9b-it-att", "layer_5/width_16k/average_l0_68/params.npz", (5, "attn_out")),
        ("gemma-scope-9b-pt-res", "layer_5/width_16k/average_l0_68/params.npz", (5, "resid_post")),
        ("gemma-scope-2b-pt-transcoders", "layer_5/width_16k/average_l0_6/params.npz", (5, "transcoder")),
        ("skip-transcoder-SmolLM2-135M-128x", "layers.7.mlp/sae.safetensors", (7, "transcoder")),
        ("sae-attn-study", "resid_post/layer_5_width_16k_l0_big/params.safetensors", (5, "resid_post")),
        ("clt-gemma-2-2b-2.5M", "layer_5.safetensors", None),
    ],
)  # fmt: skip
def test_a_collection_s_name_tells_the_hook_where_no_folder_in_it_does(collection, path, place):
    found = known_entries([path], collection)
    assert [(entry.layer, entry.hook) for entry in found] == ([place] if place else [])


def test_what_a_block_reads_is_what_the_block_below_puts_out():
    """With the hook of the release layers have its own numbers, so that there is one of block 0."""
    files = [f"blocks.{n}.hook_resid_pre/sae_weights.safetensors" for n in range(3)]
    files.append("blocks.2.hook_resid_post/sae_weights.safetensors")
    after = {entry.layer: entry.path[7:22] for entry in list_entries(files)}
    assert after == {0: "1.hook_resid_pr", 1: "2.hook_resid_pr", 2: "2.hook_resid_po"}
    before = list_entries(files, "resid_pre")
    assert [entry.layer for entry in before] == [0, 1, 2]
    assert choose_entry(before, 0, None, None, "here", "resid_pre").path == files[0]
    assert at_hook(at_hook(before, "resid_post", ""), "resid_post", "") == at_hook(
        before, "resid_post", ""
    )


def test_a_folder_has_the_saes_of_each_hook(tmp_path):
    hooks = {"a": "hook_mlp_out", "b": "hook_attn_out", "c": "hook_resid_pre", "d": "attn.hook_z"}
    files = {}
    for folder, hook in hooks.items():
        metadata = {"metadata": {"hook_name": f"blocks.3.{hook}"}}
        files |= {
            f"{folder}/sae_weights.safetensors": "",
            f"{folder}/cfg.json": json.dumps(metadata),
        }
    transcoder = {"hook_name": "blocks.3.hook_mlp_in", "hook_name_out": "blocks.3.hook_mlp_out"}
    files |= {"e/sae_weights.safetensors": "", "e/cfg.json": json.dumps(transcoder)}
    files |= {"layers.3.mlp/sae.safetensors": "", "layers.3.mlp/cfg.json": '{"transcode": true}'}
    files |= {"layers.4.mlp/sae.safetensors": "", "layers.4.mlp/cfg.json": '{"transcode": false}'}
    trained = {"trainer": {"layer": 5, "submodule_name": "mlp_out_layer_5"}}
    files |= {"f/ae.pt": "", "f/config.json": json.dumps(trained), "layer6.sae.pt": ""}
    folder = write_files(tmp_path / "mlp-study", files)
    found = {hook: [(e.layer, e.path[0]) for e in scan_folder(folder, hook)] for hook in HOOKS}
    assert found == {
        "resid_post": [(2, "c"), (6, "l")],
        "resid_pre": [(3, "c")],
        "mlp_out": [(3, "a"), (4, "l"), (5, "f")],
        "attn_out": [(3, "b"), (3, "d")],
        "transcoder": [(3, "e"), (3, "l")],
    }


def test_what_has_only_other_hooks_says_which_to_write(tmp_path):
    said = "gemma-scope-2b-pt-res: its SAEs are of resid_post, and not of mlp_out; write `hook: resid_post`"
    with pytest.raises(InputError, match=said):
        choose_entry(
            read_catalogue("gemma-scope-2b-pt-res"),
            3,
            "16k",
            None,
            "gemma-scope-2b-pt-res",
            "mlp_out",
        )
    copy = tmp_path / "gemma-scope-2b-pt-att"
    write_files(copy, {"layer_3/width_16k/average_l0_9/params.npz": ""})
    assert [entry.layer for entry in scan_folder(copy, "attn_out")] == [3]
    with pytest.raises(InputError, match="its SAEs are of attn_out, and not of resid_post"):
        scan_folder(copy)
    assert scan_folder(tmp_path / "gemma-scope-2b-pt-att" / "layer_3", "mlp_out") == ()


def test_a_skip_connection_is_taken_where_it_is_named():
    folder = "transcoder/layer_9_width_16k_l0_"
    files = [
        f"{folder}{label}/params.safetensors" for label in ("big", "big_affine", "small_affine")
    ]
    found = known_entries(files)
    assert choose_entry(found, 9, None, "big", "", "transcoder").path == files[0]
    assert choose_entry(found, 9, None, "big_affine", "", "transcoder").path == files[1]
    assert choose_entry(found, 9, None, None, "", "transcoder").path == files[0]
    assert choose_entry(found[2:], 9, None, None, "", "transcoder").path == files[2]


def test_every_known_target_has_the_saes_of_its_own_layers():
    """Each of one file, at the target's hook, and named as its repository has them."""
    for target in load_targets().values():
        if target.mock or target.sae == "none":
            continue
        for layer in target.default_layers:
            entry = target.entry(layer)
            assert (entry.layer, entry.hook) == (layer, target.hook), target.name
            assert layer < target.blocks
