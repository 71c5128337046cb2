"""Targets and their SAEs: known ones, a spec's own, and which of several files is meant."""

import json

import pytest
from safetensors.torch import load_file

from harness.errors import InputError
from harness.models.requirements import model_bytes, needs, parameters
from harness.models.sae_files import sae_bytes, sae_file
from harness.paths import bundled
from harness.specs.sae_catalogue import (
    choose_entry,
    features_of,
    list_entries,
    ranges,
    read_catalogue,
    scan_folder,
)
from harness.specs.spec import TargetChoice
from harness.specs.spec_file import load
from harness.specs.targets import load_targets, mocked, resolve

SCOPE = read_catalogue("gemma-scope-2b-pt-res")


def folder_of(tmp_path, *files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    return tmp_path


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
            "attn_out/layer_9_width_16k_l0_small/params.safetensors",
            "transcoder/layer_9_width_16k_l0_small/params.safetensors",
            "layer_5/width_16k/average_l0_68/readme.md",
        ]
    )
    assert [(e.layer, e.width, e.l0, e.label) for e in entries] == [
        (3, None, None, None),
        (5, "16k", 68, None),
        (9, "65k", None, "small"),
    ]


def test_a_local_folder_is_searched_and_saelens_own_word_counts(tmp_path):
    folder_of(tmp_path, "layer_2/width_1k/average_l0_9/params.npz", "a/sae_weights.safetensors")
    (tmp_path / "a" / "cfg.json").write_text(
        json.dumps({"metadata": {"hook_name": "blocks.7.hook_resid_post"}})
    )
    assert [(e.layer, e.path) for e in scan_folder(tmp_path)] == [
        (2, "layer_2/width_1k/average_l0_9/params.npz"),
        (7, "a/sae_weights.safetensors"),
    ]


def test_a_folder_of_another_site_is_refused_and_not_misread(tmp_path):
    folder = folder_of(tmp_path, "attn_out/layer_9_width_16k_l0_small/params.safetensors")
    with pytest.raises(InputError, match="not of the residual stream"):
        scan_folder(folder)


@pytest.mark.parametrize("name", ["att", "mlp"])
def test_gemma_scopes_other_sites_are_refused_by_name(name):
    repository = f"google/gemma-scope-2b-pt-{name}"
    target = resolve("gemma-2-2b", TargetChoice(sae=repository, files="x/{layer}/params.npz"))
    with pytest.raises(InputError, match=rf"another site \({name}\)"):
        sae_file(target, 5)


def test_ranges_are_short():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"


def test_a_spec_can_choose_among_a_known_targets_saes():
    target = resolve("gemma-2-2b", TargetChoice(width="65k", l0={12: 21}))
    assert target.entry(12).path == "layer_12/width_65k/average_l0_21/params.npz"
    assert target.entry(6).canonical
    assert target.features == 65536
    assert (
        target.page(12, 3)
        == "https://www.neuronpedia.org/gemma-2-2b/12-gemmascope-res-65k__l0-21/3"
    )
    assert resolve("gemma-2-2b", TargetChoice(l0=22)).page(12, 3) is not None
    assert resolve("gemma-2-2b", TargetChoice(l0=14)).page(3, 3) is None  # it has no page
    plain = load_targets()["gemma-2-2b"]
    assert plain.page(12, 3) == "https://www.neuronpedia.org/gemma-2-2b/12-gemmascope-res-16k/3"


def test_a_size_is_known_before_anything_is_fetched():
    """The published file of this shape has 1,208,494,296 bytes: the arrays and their headers."""
    target = resolve("gemma-2-2b", TargetChoice(width="65k"))
    assert 0 < 1_208_494_296 - sae_bytes(target) < 3_000
    assert {need.here for need in needs(target, (0, 6))} == {False}


def test_a_target_of_the_specs_own_is_read_from_its_folders(root):
    choice = TargetChoice(
        model=str(root / "fixtures/organism"), sae=str(root / "fixtures/organism/sae")
    )
    target = resolve("mine", choice)
    assert (target.blocks, target.width, target.dtype) == (6, 128, "float32")
    assert target.origin == "stand-in"  # under whatever name
    assert target.entry(3).layer == 3


def test_random_saes_make_everything_a_mock():
    for target in (
        resolve("organism", TargetChoice(sae="mock:jumprelu")),
        mocked(load_targets()["organism"]),
        load_targets()["mock"],
    ):
        assert target.origin == "mock"
        assert target.truth is None
    assert resolve("organism", TargetChoice(sae="mock:jumprelu")).features == 512
    with pytest.raises(
        InputError, match="there is no mock:gauss; use mock:orthogonal or mock:jumprelu"
    ):
        resolve("organism", TargetChoice(sae="mock:gauss"))


def write(tmp_path, target, *claims):
    path = tmp_path / "a.yaml"
    claims = claims or ("{name: c, behaviour: logit_difference, direction: greater}",)
    path.write_text(
        f"name: a\nquestion: Is it?\ntargets:\n  {target}\nprompts: data/voices.jsonl\nclaims:\n"
        + "".join(f"  - {claim}\n" for claim in claims)
    )
    return path


@pytest.mark.parametrize(
    "target, said",
    [
        ("gemma-2-2b: {width: 32k}", r"4:16: .*layer 0 has no SAE of width 32k; it has 16k, 65k"),
        ("gemma-2-2b: {layers: [12], l0: 83}", "layer 12 has no SAE of L0 83"),
        ("gemma-2-2b: {width: wide}", "width is 'wide'; write it as it is published: 16k, 65k"),
        ("mine: {model: google/gemma-2-2b}", "target 'mine' has a model and no SAEs; add `sae:`"),
        ("mine: {model: a/b, sae: c/d}", "how many layers mine has is not known"),
        ("mine: {model: a/b, sae: c/d, layers: [-1]}", "mine has no layer -1; count them from 0"),
        ("organism: {files: ../x.npz}", r"4:14: it leads out of `sae`"),
        ("organism: {files: /x.npz}", r"4:14: it leads out of `sae`"),
        ("organism: {files: ''}", "4:14: '' is no file of weights"),
        ("gemma-2-2b: {files: '*/p.npz'}", r"4:16: a \* needs a local folder"),
        ("organism: {sae: fixtures/organism/config.json}", "it is not a folder"),
        ("gema-2-2b: {}", "unknown target 'gema-2-2b'; did you mean 'gemma-2-2b'"),
    ],
)
def test_faults_of_a_target_are_said_before_anything_is_loaded(tmp_path, target, said):
    path = write(tmp_path, target)
    with pytest.raises(InputError, match=said):
        load(path).plan()


def test_without_layers_only_behaviour_can_be_claimed(tmp_path):
    fine = write(tmp_path, "organism: {layers: none}")
    assert load(fine).plan("organism").layers == ()
    feature = write(
        tmp_path, "organism: {layers: none}", "{name: f, features: significant, at_least: 1}"
    )
    with pytest.raises(InputError, match="it needs SAEs, and no layer is read"):
        load(feature).plan("organism")


def test_a_local_folder_may_have_any_name(tmp_path):
    """Its own, and those within: brackets are no pattern, and `mlp` says nothing of a study."""
    file = "layer_3[v1]/params.npz"
    folder = folder_of(tmp_path / "mlp-study", file)
    target = resolve("organism", TargetChoice(sae=str(folder)))
    assert sae_file(target, 3) == folder / file
    copy = folder_of(
        tmp_path / "gemma-scope-2b-pt-mlp", "layer_3/width_16k/average_l0_9/params.npz"
    )
    with pytest.raises(InputError, match=r"another site \(mlp\)"):
        sae_file(resolve("organism", TargetChoice(sae=str(copy))), 3)


def test_a_local_models_size_is_known_by_its_headers(tmp_path):
    """Whether it fits on a device is asked before it is loaded."""
    organism = load_targets()["organism"]
    assert parameters(organism) == sum(
        tensor.numel()
        for tensor in load_file(bundled("fixtures", "organism", "model.safetensors")).values()
    )
    assert model_bytes(organism) == 4 * parameters(organism)
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    assert parameters(resolve("organism", TargetChoice(model=str(tmp_path)))) is None
