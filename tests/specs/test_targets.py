"""Targets: known ones, a spec's own, and what is wrong with one."""

import json
import shutil

import pytest

from harness.errors import InputError
from harness.specs.spec_file import load
from harness.specs.target_choice import TargetChoice
from harness.specs.targets import load_targets, mocked, resolve
from tests.helpers import ROOT
from tests.helpers.cli import invoke


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
        (f"mine: {{model: {'m' * 256}, sae: c/d}}", "4:10: no file can have so long a name"),
        (f"organism: {{files: {'f' * 256}.npz}}", "4:14: no file can have so long a name"),
        (f"{'t' * 81}: {{model: a/b, sae: c/d}}", "4:3: the key: string should have at most 80"),
        ("a/b: {model: a/b, sae: c/d}", "4:3: the key is 'a/b'; use letters and digits, and"),
        ("gemma-2-2b: {width: 016k}", "width is '016k'; write it as it is published: 16k, 65k"),
        ("gemma-2-2b: {width: 0k}", "width is '0k'; write it as it is published: 16k, 65k"),
        ("gemma-2-2b: {l0: '76'}", "l0 is '76'; write a number without quotes, or a word"),
        (
            "mine: {model: gemma-3-270m, sae: my/saes, layers: [3]}",
            "4:10: model is 'gemma-3-270m', and that is a target; write `gemma-3-270m: {sae: my/saes}`",
        ),
        ("mine: {model: Gemma-3-270m, layers: [3]}", "; write `gemma-3-270m: {sae: FOLDER}`"),
        ("mine: {model: gemma-3-270m, layers: none}", "; write `gemma-3-270m: {layers: none}`"),
        (
            "organism: {model: gemma-2-2b}",
            "4:14: .* that is a target; write `gemma-2-2b: {sae: FOLDER}`",
        ),
        (
            "gemma-2-2b: {sae: organism}",
            "4:16: sae is 'organism', and that is a target; write `sae: fixtures/organism/sae`",
        ),
        ("gema-2-2b: {}", "unknown target 'gema-2-2b'; did you mean 'gemma-2-2b'"),
    ],
)
def test_faults_of_a_target_are_said_before_anything_is_loaded(tmp_path, target, said):
    path = write(tmp_path, target)
    with pytest.raises(InputError, match=said):
        load(path).plan()


def test_a_folder_that_is_called_as_a_target_is_a_model(tmp_path, root):
    (tmp_path / "gemma-3-270m").symlink_to(root / "fixtures" / "organism")
    sae = root / "fixtures" / "organism" / "sae"
    path = write(tmp_path, f"mine: {{model: gemma-3-270m, sae: {sae}, layers: [0]}}")
    assert load(path).targets["mine"].blocks == 6


def test_without_layers_only_behaviour_can_be_claimed(tmp_path):
    fine = write(tmp_path, "organism: {layers: none}")
    assert load(fine).plan("organism").layers == ()
    feature = write(
        tmp_path, "organism: {layers: none}", "{name: f, features: significant, at_least: 1}"
    )
    with pytest.raises(InputError, match="it needs SAEs, and no layer is read"):
        load(feature).plan("organism")


def test_a_hook_is_part_of_a_specs_hash_only_where_it_is_written(tmp_path):
    """Specs of before there was a choice keep their hashes."""
    plain = load(write(tmp_path, "gemma-2-2b: {layers: [0]}")).spec
    assert plain.targets["gemma-2-2b"].model_dump().keys().isdisjoint({"hook", "bos"})
    other = load(write(tmp_path, "gemma-2-2b: {layers: [0], hook: resid_post}")).spec
    assert other.targets["gemma-2-2b"].model_dump()["hook"] == "resid_post"
    assert other.hash != plain.hash


@pytest.mark.parametrize(
    "target, said",
    [
        ("gemma-2-2b: {hook: mlp}", "4:16: hook is 'mlp'; did you mean 'mlp_out'"),
        (
            "gemma-2-2b: {hook: mlp_out}",
            r"another site \(res\) than mlp_out; write `hook: ",
        ),
        ("gemma-2-2b: {sae: 'saelens:gemma-scope-2b-pt'}", "4:16: SAELens has no release"),
        (
            "gemma-2-2b: {sae: 'saelens:gemma-scope-2b-pt-mlp', hook: transcoder}",
            "4:54: its SAEs are of mlp_out, and not of transcoder; write `hook: mlp_out`",
        ),
        (
            "gemma-2-2b: {sae: 'saelens:gemma-scope-2b-pt-mlp', layers: [3]}",
            "layer 3 has SAEs of several widths; add `width:` with one of 16k, 65k",
        ),
    ],
)
def test_faults_of_a_hook_are_said_at_its_place(tmp_path, target, said):
    with pytest.raises(InputError, match=said):
        load(write(tmp_path, target)).plan()


def test_plan_and_targets_name_the_hook_where_it_is_not_the_usual_one(tmp_path):
    spec = write(
        tmp_path, "gemma-2-2b: {sae: 'saelens:gemma-scope-2b-pt-att-canonical', width: 16k}"
    )
    shutil.copytree(ROOT / "data", tmp_path / "data")
    planned = json.loads(invoke("plan", str(spec), "--json").output)
    assert planned["hook"] == "attn_out"
    spec = write(tmp_path, "organism: {layers: [0]}")
    assert "hook" not in json.loads(invoke("plan", str(spec), "--json").output)
    listed = {one["name"]: one["hook"] for one in json.loads(invoke("targets", "--json").output)}
    assert listed["gpt2-small"] == "resid_pre"
    assert {hook for name, hook in listed.items() if name != "gpt2-small"} == {"resid_post"}
    assert "12 layers of width 768, read at resid_pre, float32; real" in invoke("targets").output


@pytest.mark.parametrize(
    "choice, said",
    [
        ({"sae": "google/gemma-scope-2b-pt-mlp"}, r"another site \(mlp\).*write `hook: mlp_out`"),
        ({"sae": "google/gemma-scope-2b-pt-mlp", "hook": "attn_out"}, "write `hook: mlp_out`"),
        ({"sae": "google/gemma-scope-2b-pt-transcoders"}, "write `hook: transcoder`"),
        ({"hook": "mlp_out"}, r"another site \(res\).*write `hook: resid_post`"),
        ({"sae": "mntss/clt-gemma-2-2b-426k"}, "name SAEs of one block"),
    ],
)
def test_a_collection_whose_name_tells_another_hook_is_refused_before_the_hub_is_asked(
    choice, said
):
    with pytest.raises(InputError, match=said):
        resolve("gemma-2-2b", TargetChoice(**choice))


def test_what_a_packaged_list_does_not_have_the_hub_is_asked_for():
    """The list of Gemma Scope 2 has the stream; its repository has the other hooks as well."""
    assert resolve("gemma-3-270m", TargetChoice()).entry(5).hook == "resid_post"
    for hook in ("mlp_out", "attn_out", "transcoder"):
        assert resolve("gemma-3-270m", TargetChoice(hook=hook)).entry(5) is None
    own = resolve("gemma-2-2b", TargetChoice(sae="google/gemma-scope-2b-pt-att", hook="attn_out"))
    assert own.entry(5) is None
