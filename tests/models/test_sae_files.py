"""Which file of a repository or folder is the SAE that is meant."""

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import InputError
from harness.models.sae_files import sae_file
from harness.sae.encoding import encode
from harness.sae.weights import load_sae
from harness.specs.target_choice import TargetChoice
from harness.specs.targets import load_targets, resolve
from tests.helpers.files import write_files
from tests.helpers.hub import (
    NOBODY,
    SAES,
    answer_of,
    assert_refused,
    child,
)
from tests.helpers.hub_server import COMMIT


@pytest.mark.parametrize(
    "collection, word, remedy",
    [
        ("google/gemma-scope-2b-pt-att", "att", "write `hook: attn_out`"),
        ("google/gemma-scope-2b-pt-mlp", "mlp", "write `hook: mlp_out`"),
        ("google/gemma-scope-2b-pt-transcoders", "transcoders", "write `hook: transcoder`"),
        ("fnlp/Llama3_1-8B-Base-LXTC-8x", "LXTC", "write `hook: transcoder`"),
        ("mntss/clt-gemma-2-2b-2.5M", "clt", "name SAEs of one block: what writes at several"),
    ],
)
def test_another_hook_is_refused_by_the_collections_name(collection, word, remedy):
    choice = TargetChoice(sae=collection, files="L{layer}/final.safetensors")
    said = rf"another site \({word}\) than resid_post; {remedy}"
    with pytest.raises(InputError, match=said):
        sae_file(resolve("gemma-2-2b", choice), 5)


def test_a_local_folder_may_have_any_name(tmp_path):
    """Its own, and those within: brackets are no pattern, and `mlp` says nothing of a study."""
    file = "layer_3[v1]/params.npz"
    folder = write_files(tmp_path / "mlp-study", {file: ""})
    target = resolve("organism", TargetChoice(sae=str(folder)), tmp_path)
    assert sae_file(target, 3) == folder / file
    copy = write_files(
        tmp_path / "gemma-scope-2b-pt-mlp", {"layer_3/width_16k/average_l0_9/params.npz": ""}
    )
    with pytest.raises(InputError, match=r"another site \(mlp\) than resid_post; write"):
        sae_file(resolve("organism", TargetChoice(sae=str(copy)), tmp_path), 3)


@pytest.mark.parametrize(
    "layer, choice, path, beside",
    [
        (3, {"width": "16k", "l0": 20}, SAES[0], ()),
        (3, {"width": "16k", "l0": "canonical"}, SAES[1], ()),
        (3, {"width": "65k"}, SAES[2], ()),
        (4, {}, SAES[3], ()),
        (6, {"l0": "medium"}, SAES[5], (SAES[6],)),
        (7, {}, SAES[7], (SAES[8],)),
        (8, {}, SAES[9], (SAES[10],)),
        (10, {}, SAES[11], (SAES[12],)),
        (11, {}, SAES[13], (SAES[14],)),
        (9, {"files": "layer_4/width_16k/average_l0_50/params.npz"}, SAES[3], ()),
    ],
)
def test_an_unknown_repository_s_saes_are_known_by_their_names(
    tmp_path, hub, layer, choice, path, beside
):
    code = f"sae({layer}, model='x/y', sae='lab/saes', **{choice})"
    assert answer_of(child(code, tmp_path, hub)) == f"{COMMIT}/{path}"
    fetched = {asked.name for asked in hub.requests("GET") if "/resolve/" in asked.path}
    assert fetched == {path, *beside}
    listings = [asked for asked in hub.requests("GET") if asked.path.startswith("/api/")]
    assert len(listings) == ("files" not in choice)


@pytest.mark.parametrize(
    "layer, choice, said",
    [
        (3, {}, "layer 3 has SAEs of several widths; add `width:` with one of 16k"),
        (
            3,
            {"width": "16k"},
            "layer 3 has 2 SAEs that fit: layer_3/width_16k/average_l0_20/params",
        ),
        (3, {"width": "1m"}, "layer 3 has no SAE of width 1m; it has 16k, 65k"),
        (3, {"width": "16k", "l0": 21}, "layer 3 has no SAE of L0 21; it has 16k L0 20, 16k L0 90"),
        (5, {}, "there is no SAE of layer 5; it has layers 3-4, 6-8, 10-11"),
    ],
)
def test_saes_that_are_not_told_apart_are_refused(tmp_path, hub, layer, choice, said):
    code = f"sae({layer}, model='x/y', sae='lab/saes', **{choice})"
    assert_refused(child(code, tmp_path, hub), f"lab/saes: {said}", status=2)
    assert not [asked for asked in hub.asked if "/resolve/" in asked.path]


def test_an_unknown_repository_s_saes_are_found_offline(tmp_path, hub):
    code = f"sae(4, model='x/y', sae='lab/saes', sae_revision='{COMMIT}')"
    first = answer_of(child(code, tmp_path, hub))
    assert answer_of(child(code, tmp_path, hub, HF_HUB_OFFLINE="1")) == first


@pytest.mark.parametrize("more", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["down", "offline"])
def test_without_the_hub_no_other_sae_is_chosen_than_with_it(tmp_path, hub, more):
    """One SAE of a layer is in the cache, and the spec means another."""
    common = f"model='x/y', sae='lab/saes', sae_revision='{COMMIT}', width='16k'"
    assert "l0_20" in answer_of(child(f"sae(3, {common}, l0=20)", tmp_path, hub))
    found = child(f"sae(3, {common}, l0='canonical')", tmp_path, NOBODY, **more)
    assert "average_l0_20" not in found.stdout


@pytest.mark.parametrize(
    "layer, choice, path",
    [
        (0, {}, "layer_0/width_16k/average_l0_105"),
        (0, {"l0": 46}, "layer_0/width_16k/average_l0_46"),
        (12, {"width": "65k", "l0": 72}, "layer_12/width_65k/average_l0_72"),
        (12, {"l0": {12: 176}}, "layer_12/width_16k/average_l0_176"),
    ],
)
def test_a_known_repository_s_saes_need_no_list(tmp_path, hub, layer, choice, path):
    known = load_targets()["gemma-2-2b"]
    found = answer_of(child(f"sae({layer}, 'gemma-2-2b', **{choice})", tmp_path, hub))
    assert found == f"{known.sae_revision}/{path}/params.npz"
    assert [asked.path.partition("/resolve/")[2] for asked in hub.requests("GET")] == [found]


def test_a_release_of_saelens_registry_is_fetched_and_read(tmp_path, hub, folders):
    """From the registry's facts alone: no list of files is asked for."""
    code = "sae(12, 'gemma-2-2b', sae='saelens:gemma-2-2b-res-matryoshka-dc')"
    path = "standard/blocks.12.hook_resid_post/sae_weights.safetensors"
    assert answer_of(child(code, tmp_path, hub)) == f"{COMMIT}/{path}"
    asked = [one.path.partition("/resolve/")[2] for one in hub.requests("GET")]
    assert asked == [f"main/{path}", f"main/{path.replace('sae_weights.safetensors', 'cfg.json')}"]
    (fetched,) = tmp_path.rglob("sae_weights.safetensors")
    sae = load_sae(fetched, width=8, layer=12)
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    own = load_file(folders / "registered" / path)
    before = (x - own["b_dec"]) @ own["W_enc"] + own["b_enc"]
    torch.testing.assert_close(encode(sae, x), before * (before > own["threshold"]))


def test_a_release_s_file_is_found_offline_at_the_pinned_commit(tmp_path, hub):
    common = f"sae='saelens:gemma-2-2b-res-matryoshka-dc', sae_revision='{COMMIT}'"
    first = answer_of(child(f"sae(12, 'gemma-2-2b', {common})", tmp_path, hub))
    again = child(f"sae(12, 'gemma-2-2b', {common})", tmp_path, NOBODY, HF_HUB_OFFLINE="1")
    assert answer_of(again) == first


@pytest.mark.parametrize("layer, path", [(5, SAES[4]), (12, SAES[15])])
def test_a_repository_s_saes_of_another_hook_are_known_by_their_names(tmp_path, hub, layer, path):
    code = f"sae({layer}, model='x/y', sae='lab/saes', hook='mlp_out')"
    assert answer_of(child(code, tmp_path, hub)) == f"{COMMIT}/{path}"


def test_a_hook_that_a_repository_has_not_is_said_with_those_that_it_has(tmp_path, hub):
    code = "sae(5, model='x/y', sae='lab/saes', hook='transcoder')"
    said = "lab/saes: its SAEs are of resid_post and mlp_out, and not of transcoder; write `hook: resid_post`"
    assert_refused(child(code, tmp_path, hub), said, status=2)
