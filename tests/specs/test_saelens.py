"""SAELens' registry: how much of it can be read, what a spec names in it, and taking in a newer one."""

import gzip
import importlib.util
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml

from harness.errors import InputError
from harness.paths import PACKAGE
from harness.specs.saelens import TABLE, dictionaries, entries_of, user_table
from harness.specs.saelens_refresh import refresh
from harness.specs.target_choice import TargetChoice
from harness.specs.targets import load_targets, resolve
from tests.helpers.cli import invoke

# How many dictionaries SAELens' registry has by loader and hook, and how many of them are read.
REGISTRY = {
    ("gemma_3", "transcoder"): (3576, 3576),
    ("gemma_3", "resid_post"): (2024, 2024),
    ("gemma_3", "mlp_out"): (1604, 1604),
    ("gemma_3", "attn_out"): (1580, 1580),
    ("gemma_2", "resid_post"): (1049, 1049),
    ("gemma_2", "attn_out"): (888, 888),
    ("gemma_2", "mlp_out"): (888, 888),
    ("gemma_2", "none"): (8, 0),
    ("gemma_2_transcoder", "transcoder"): (26, 26),
    ("dictionary_learning_1", "resid_post"): (838, 838),
    ("qwen_scope", "resid_post"): (544, 544),
    ("mwhanna_transcoder", "transcoder"): (208, 208),
    ("llama_scope_r1_distill", "resid_post"): (96, 96),
    ("llama_scope", "resid_post"): (64, 64),
    ("llama_scope", "attn_out"): (64, 64),
    ("llama_scope", "mlp_out"): (64, 64),
    ("sae_lens", "resid_post"): (154, 153),
    ("sae_lens", "resid_pre"): (42, 39),
    ("sae_lens", "mlp_out"): (42, 30),
    ("sae_lens", "attn_out"): (30, 30),
    ("sae_lens", "none"): (24, 0),
    ("mntss_clt_layer_transcoder", "transcoder"): (26, 0),
    ("connor_rob_hook_z", "attn_out"): (12, 0),
    ("temporal", "resid_post"): (3, 0),
    ("goodfire", "resid_post"): (2, 0),
    ("deepseek_r1", "resid_post"): (1, 0),
}


def of(name, target="gemma-2-2b", **choice):
    return resolve(target, TargetChoice(sae=f"saelens:{name}", **choice))


def test_nine_tenths_of_the_registry_can_be_read():
    """All of it is listed once, by loader and hook; what is not read says why in a sentence."""
    there = dictionaries()
    assert len(there) == len({(one.release, one.id) for one in there}) == 13_857
    assert len({one.release for one in there}) == 170
    all_of, read = Counter(), Counter()
    for one in there:
        key = one.loader, one.place[1] if one.place else "none"
        all_of[key] += 1
        read[key] += not one.why_not
        assert one.why_not or one.entry.path.endswith((".npz", ".safetensors", ".pt"))
    assert {key: (count, read[key]) for key, count in all_of.items()} == REGISTRY
    assert read.total() / all_of.total() > 0.99


def test_the_command_shows_the_counts():
    rows = json.loads(invoke("dictionaries", "--counts", "--json").output)
    shown = {(row["loader"], row["hook"]): (row["dictionaries"], row["read"]) for row in rows}
    assert shown == REGISTRY
    assert all(row["why not"] for row in rows if row["read"] < row["dictionaries"])
    text = invoke("dictionaries", "--counts").output
    assert "13,765 of 13,857 can be read, 99.3%" in text
    assert "it is a cross-layer transcoder, which writes at several blocks" in text


def test_the_command_lists_releases_by_a_word_and_the_ids_of_one():
    releases = json.loads(invoke("dictionaries", "llama_scope", "--json").output)
    assert [row["dictionaries"] for row in releases] == [32] * 6 + [96]
    ids = json.loads(invoke("dictionaries", "llama_scope_lxm_8x", "--json").output)
    assert (ids[3]["id"], ids[3]["layer"], ids[3]["hook"]) == ("l3m_8x", 3, "mlp_out")
    assert "llama_scope_lxa_8x" in invoke("dictionaries", "llama").output
    wrong = invoke("dictionaries", "llama_scope_lxz")
    assert wrong.exit_code == 2
    assert "did you mean 'llama_scope_lxr_8x'?" in wrong.stderr


def test_the_package_s_own_list_and_the_registry_name_the_same_canonical_saes():
    known = load_targets()["gemma-2-2b"]
    for width in ("16k", "65k"):
        own = resolve("gemma-2-2b", TargetChoice(width=width))
        target = of("gemma-scope-2b-pt-res-canonical", width=width)
        assert (target.sae, target.hook) == (known.sae, "resid_post")
        for layer in range(26):
            assert target.entry(layer).path == own.entry(layer).path
            assert target.neuronpedia(layer) == own.neuronpedia(layer)


@pytest.mark.parametrize(
    "name, layer, path, choice",
    [
        (
            "gemma-scope-2b-pt-res-canonical/layer_{layer}/width_16k/canonical",
            12,
            "layer_12/width_16k/average_l0_82/params.npz",
            {},
        ),
        (
            "gemma-scope-2b-pt-att",
            3,
            "layer_3/width_16k/average_l0_55/params.npz",
            {"width": "16k", "l0": 55},
        ),
        (
            "gemma-scope-2-270m-pt-transcoders-all",
            3,
            "transcoder_all/layer_3_width_16k_l0_big/params.safetensors",
            {"width": "16k", "l0": "big"},
        ),
        (
            "gemma-scope-2-270m-pt-transcoders-all",
            3,
            "transcoder_all/layer_3_width_16k_l0_big_affine/params.safetensors",
            {"width": "16k", "l0": "big_affine"},
        ),
        (
            "sae_bench_pythia70m_sweep_gated_ctx128_0730/blocks.{layer}.hook_resid_post__trainer_7",
            4,
            "pythia70m_sweep_gated_ctx128_0730/resid_post_layer_4/trainer_7/ae.pt",
            {},
        ),
        ("qwen-scope-3-8b-base-w64k-l50", 35, "layer35.sae.pt", {}),
        ("mwhanna-qwen3-4b-transcoders", 35, "layer_35.safetensors", {}),
        ("llama_scope_lxa_8x", 7, "Llama3_1-8B-Base-L7A-8x/checkpoints/final.safetensors", {}),
        ("gpt2-small-res-jb", 0, "blocks.0.hook_resid_pre/sae_weights.safetensors", {}),
        (
            "gpt2-small-res-jb",
            10,
            "blocks.11.hook_resid_pre/sae_weights.safetensors",
            {"hook": "resid_post"},
        ),
        ("gpt2-small-res-jb-feature-splitting", 8, "blocks.8.hook_resid_pre_768/sae_weights.safetensors", {"width": "768"}),
    ],
)  # fmt: skip
def test_a_release_or_its_ids_name_files_of_a_repository(name, layer, path, choice):
    target = of(name, **choice)
    assert target.entry(layer).path == path
    assert "/" in target.sae
    assert not target.sae.startswith("saelens:")
    assert (target.sae_revision, target.files) == ("main", None)


@pytest.mark.parametrize(
    "name, hook",
    [
        *(("gemma-scope-2b-pt-att", "attn_out"), ("gemma-scope-2b-pt-mlp", "mlp_out")),
        *(("gemma-scope-2b-pt-transcoders", "transcoder"), ("gpt2-small-res-jb", "resid_pre")),
        *(("pythia-70m-deduped-res-sm", "resid_post"), ("llama_scope_lxm_32x", "mlp_out")),
    ],
)
def test_the_hook_is_the_registry_s_where_the_spec_names_none(name, hook):
    assert of(name).hook == hook
    assert of(name, hook=hook).hook == hook


def test_other_saes_than_the_target_s_own_are_read_at_their_own_hook():
    assert load_targets()["gpt2-small"].hook == "resid_pre"
    assert load_targets()["gpt2-small"].entry(5).centred
    assert resolve("gpt2-small", TargetChoice(sae="my/saes")).hook == "resid_post"
    assert of("gpt2-small-resid-post-v5-32k", "gpt2-small").hook == "resid_post"
    # The repository of a known target is read as it is there.
    same = resolve("gemma-2-2b", TargetChoice(sae="jbloom/GPT2-Small-SAEs-Reformatted"))
    assert (same.hook, same.entry(0).centred) == ("resid_pre", True)


def test_layers_are_the_target_s_where_the_release_has_them_and_else_the_release_s():
    assert of("gemma-scope-2b-pt-res-canonical").layers == (0, 6, 12, 18, 24)
    assert of("qwen2.5-7b-instruct-andyrdt", "mine", model="a/b").layers == (
        3,
        7,
        11,
        15,
        19,
        23,
        27,
    )
    one = of("gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical")
    assert one.layers == (12,)
    with pytest.raises(InputError, match="there is no SAE of layer 5; it has layers 12"):
        one.entry(5)


@pytest.mark.parametrize(
    "choice, said",
    [
        (
            {"sae": "saelens:gemma-scope-2b-pt-res-canonicle"},
            "SAELens has no release 'gemma-scope-2b-pt-res-canonicle'; did you mean "
            "'gemma-scope-2b-pt-res-canonical'?",
        ),
        (
            {"sae": "saelens:gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_60"},
            "has no 'layer_3/width_16k/average_l0_60'; did you mean 'layer_",
        ),
        (
            {"sae": "saelens:gemma-scope-2b-pt-mlp-canonical", "hook": "attn_out"},
            "hook: its SAEs are of mlp_out, and not of attn_out; write `hook: mlp_out`",
        ),
        (
            {"sae": "saelens:gemma-scope-2b-pt-mlp-canonical", "files": "x/params.npz"},
            "files: `files:` and saelens:.* both say where a layer's SAE lies",
        ),
        (
            {"sae": "saelens:temporal-sae-gemma-2-2b"},
            "cannot be read: it attends to earlier tokens, .*; name another one; `harness dictionaries`",
        ),
        (
            {"sae": "saelens:mntss-gemma-2-2b-2.5m-clt-as-per-layer"},
            "layer_0 of .* cannot be read: it is a cross-layer transcoder",
        ),
        (
            {"sae": "saelens:gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6"},
            "cannot be read: it reads hook_embed, which is no hook of a spec",
        ),
        ({"sae": "saelens:"}, "SAELens has no release ''; use one of "),
    ],
)
def test_what_the_registry_has_not_or_nothing_reads_is_said(choice, said):
    with pytest.raises(InputError, match=said):
        resolve("gemma-2-2b", TargetChoice(**choice))


def test_several_that_fit_are_told_apart_by_their_ids():
    target = of("sae_bench_pythia70m_sweep_gated_ctx128_0730", "pythia-70m")
    said = "has 20 SAEs that fit: .*; add `l0:`, or name ids: saelens:sae_bench_pythia70m_.*0730/ID"
    with pytest.raises(InputError, match=said):
        target.entry(3)


SMALL = {
    "toy": {
        "model": "toy", "repo_id": "lab/toy", "conversion_func": None,
        "saes": [{"id": "blocks.2.hook_mlp_out", "path": "a/b", "l0": 3.4, "neuronpedia": "t/2"}],
    }
}  # fmt: skip


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path


def written(folder, registry, name="pretrained_saes.yaml"):
    text = registry if isinstance(registry, str) else yaml.safe_dump(registry)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("as_wheel", [False, True])
def test_a_user_s_own_registry_counts_before_the_package_s(settings, as_wheel):
    source = written(settings, SMALL)
    if as_wheel:
        with zipfile.ZipFile(settings / "sae_lens.whl", "w") as wheel:
            wheel.write(source, "sae_lens/pretrained_saes.yaml")
        source = settings / "sae_lens.whl"
    done = invoke("dictionaries", "--refresh", str(source))
    assert (done.exit_code, done.stderr) == (0, f"1 dictionaries in {user_table()}\n")
    (entry,) = entries_of("saelens:toy")
    assert (entry.layer, entry.hook, entry.l0) == (2, "mlp_out", 3)
    assert (entry.path, entry.neuronpedia) == ("a/b/sae_weights.safetensors", "t/2")
    with pytest.raises(InputError, match="SAELens has no release 'gemma-scope-2b-pt-res'"):
        entries_of("saelens:gemma-scope-2b-pt-res")
    user_table().unlink()
    assert entries_of("saelens:gemma-scope-2b-pt-res")


def changed(**more):
    (facts,) = SMALL.values()
    return {"toy": facts | {"saes": [facts["saes"][0] | more]}}


@pytest.mark.parametrize(
    "registry",
    [
        *("[", "a: !!python/object/apply:os.getcwd []", "3", "[1]", "toy: 3", "toy: {saes: 3}"),
        *(changed(path="../../secret"), changed(path="/etc/passwd"), changed(id="a\u202eb")),
        *(changed(l0=float("inf")), changed(l0=float("nan")), changed(l0="x"), changed(neuronpedia=[1])),
        *(changed(id="x" * 3000), {"toy": SMALL["toy"] | {"repo_id": "https://evil/x"}}),
        # A hundred thousand dictionaries and more in a few bytes.
        "x: {model: m, repo_id: a/b, saes: &x [" + "{id: a, path: b}, " * 500 + "]}\n"
        + "".join(f"r{i}: {{model: m, repo_id: a/b, saes: *x}}\n" for i in range(250)),
        "a: " + "[" * 5000,
        "\0PK",
    ],
)  # fmt: skip
def test_what_is_no_registry_is_refused_in_a_sentence(settings, registry):
    done = invoke("dictionaries", "--refresh", str(written(settings, registry)))
    assert done.exit_code == 2
    assert "it is no registry of SAELens: " in done.stderr or "is not UTF-8" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not user_table().exists()


def test_a_damaged_table_is_said_with_what_to_do(settings):
    refresh(written(settings, SMALL), user_table())
    whole = user_table().read_bytes()
    for damaged in (whole[:-9], b"", gzip.compress(b"a,b\n1,2\n"), gzip.compress(b"")):
        user_table().write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot be read: .*`harness dictionaries --refresh`"):
            dictionaries()
    text = gzip.decompress(whole).decode()
    user_table().write_bytes(gzip.compress(text.replace("a/b", "../b").encode()))
    with pytest.raises(InputError, match=r"lab/toy \.\./b is no file of a repository"):
        dictionaries()


def test_the_table_is_that_of_the_installed_sae_lens(tmp_path):
    found = importlib.util.find_spec("sae_lens")
    if found is None or found.origin is None:
        pytest.skip("sae-lens is not installed")
    refresh(Path(found.origin).parent / "pretrained_saes.yaml", tmp_path / TABLE)
    ours = gzip.decompress((PACKAGE / "catalogues" / TABLE).read_bytes())
    assert gzip.decompress((tmp_path / TABLE).read_bytes()) == ours
