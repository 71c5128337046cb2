"""Which of the published SAEs is meant."""

import json

import pytest

from harness.errors import InputError
from harness.specs.sae_catalogue import list_entries, read_catalogue, scan_folder
from harness.specs.sae_entry import choose_entry, features_of, ranges
from tests.helpers.files import write_files

SCOPE = read_catalogue("gemma-scope-2b-pt-res")


@pytest.mark.parametrize(
    "width, features",
    [
        *(("1k", 1024), ("16k", 16384), ("32k", 32768), ("65k", 65536), ("131k", 131072)),
        *(("262k", 262144), ("524k", 524288), ("1m", 1048576), ("300", 300)),
    ],
)
def test_published_widths_are_powers_of_two(width, features):
    assert features_of(width) == features


def test_the_whole_published_collection_can_be_chosen_from():
    """312 SAEs of blocks; the four of the embedding are of no block's output."""
    assert len(SCOPE) == len({entry.path for entry in SCOPE}) == 312
    for entry in SCOPE:
        assert choose_entry(SCOPE, entry.layer, entry.width, entry.l0, "") == entry


def test_the_canonical_saes_are_those_marked_so():
    found = [choose_entry(SCOPE, layer, "16k", "canonical", "").l0 for layer in range(26)]
    assert found[:5] == [105, 102, 141, 59, 124]
    assert [choose_entry(SCOPE, layer, "16k", "canonical", "").l0 for layer in (12, 20, 25)] == [
        82,
        71,
        116,
    ]
    assert choose_entry(SCOPE, 12, "65k", "canonical", "").l0 == 72
    # Of this width and layer none is marked: nearest to 100.
    assert choose_entry(SCOPE, 12, "131k", "canonical", "").l0 == 129


@pytest.mark.parametrize(
    "wanted, said",
    [
        ((26, "16k", "canonical"), "there is no SAE of layer 26; it has layers 0-25"),
        ((3, "1m", None), "layer 3 has no SAE of width 1m; it has 16k, 65k"),
        ((3, "16k", 60), "layer 3 has no SAE of L0 60; it has 16k L0 14, 16k L0 28, 16k L0 59"),
        ((3, None, "canonical"), "several widths; add `width:` with one of 16k, 65k"),
        ((3, "16k", None), ""),
    ],
)
def test_what_is_not_there_or_not_clear_is_said(wanted, said):
    if said:
        with pytest.raises(InputError, match=said):
            choose_entry(SCOPE, *wanted, "here")
    else:
        assert choose_entry(SCOPE, *wanted, "here").canonical


def test_gemma_scope_2_is_chosen_by_its_labels():
    entries = read_catalogue("gemma-scope-2-270m-pt")
    found = choose_entry(entries, 9, "16k", "canonical", "")
    assert found.path == "resid_post/layer_9_width_16k_l0_medium/params.safetensors"
    assert found.neuronpedia == "gemma-3-270m/9-gemmascope-2-res-16k"
    assert choose_entry(entries, 9, "65k", "big", "").label == "big"
    assert choose_entry(entries, 4, "16k", "small", "").path.startswith("resid_post_all/")


def test_files_are_known_by_the_published_names():
    entries = list_entries(
        [
            "layer_5/width_16k/average_l0_68/params.npz",
            "resid_post/layer_9_width_65k_l0_small/params.safetensors",
            "blocks.4.hook_resid_pre/sae_weights.safetensors",
            "model.layers.7/sae_weights.safetensors",
            "layers.7.mlp/sae_weights.safetensors",
            "attn_out/layer_9_width_16k_l0_small/params.safetensors",
            "transcoder/layer_9_width_16k_l0_small/params.safetensors",
            "layer_5/width_16k/average_l0_68/readme.md",
            "saes_model/resid_post_layer_11/trainer_1/ae.pt",
            "saes_model/mlp_out_layer_11/trainer_1/ae.pt",
            "Llama3_1-8B-Base-L15R-8x/checkpoints/final.safetensors",
            "Llama3_1-8B-Base-L15A-8x/checkpoints/final.safetensors",
            "Llama3_1-8B-Base-L15TC-8x/checkpoints/final.safetensors",
            "800M-Slimpajama-0-OpenR1-Math-220k/L16R/sae_weights.safetensors",
        ]
    )
    assert [(e.layer, e.width, e.l0, e.label) for e in entries] == [
        (16, None, None, None),
        (15, None, None, None),
        (3, None, None, None),
        (5, "16k", 68, None),
        (7, None, None, None),
        (9, "65k", None, "small"),
        (11, None, None, None),
    ]


def test_a_local_folder_is_searched_and_saelens_own_word_counts(tmp_path):
    config = json.dumps({"metadata": {"hook_name": "blocks.7.hook_resid_post"}})
    files = {
        "layer_2/width_1k/average_l0_9/params.npz": "",
        "a/sae_weights.safetensors": "",
        "a/cfg.json": config,
    }
    write_files(tmp_path, files)
    assert [(e.layer, e.path) for e in scan_folder(tmp_path)] == [
        (2, "layer_2/width_1k/average_l0_9/params.npz"),
        (7, "a/sae_weights.safetensors"),
    ]


def test_the_configurations_of_other_libraries_name_their_layer(tmp_path):
    hook = {"hook_point_in": "blocks.9.hook_resid_post"}
    files = {
        "a/ae.pt": "",
        "a/config.json": json.dumps({"trainer": {"layer": 6}}),
        "b/checkpoints/final.safetensors": "",
        "b/hyperparams.json": json.dumps(hook),
        "c/final.safetensors": "",
        "c/hyperparams.json": json.dumps({"hook_point_in": "blocks.9.hook_mlp_out"}),
        "d/sae_weights.safetensors": "",
        "d/config.json": json.dumps({"hook_point_in": "blocks.8.hook_resid_post"}),
        "layer_2/ae.pt": "",
        "layer_3/ae.pt": "",
        "layer_3/config.json": "{",
    }
    write_files(tmp_path, files)
    assert [(e.layer, e.path) for e in scan_folder(tmp_path)] == [
        (2, "layer_2/ae.pt"),
        (3, "layer_3/ae.pt"),
        (6, "a/ae.pt"),
        (8, "d/sae_weights.safetensors"),
        (9, "b/checkpoints/final.safetensors"),
    ]


def test_a_folder_of_another_site_is_refused_and_not_misread(tmp_path):
    folder = write_files(tmp_path, {"attn_out/layer_9_width_16k_l0_small/params.safetensors": ""})
    with pytest.raises(
        InputError, match="its SAEs are of attn_out, and not of resid_post; write `hook: attn_out`"
    ):
        scan_folder(folder)


def test_consecutive_layers_are_written_as_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
