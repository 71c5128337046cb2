"""Runs whose weights come from a hub: a small random Gemma 2 stands where Gemma 2 2B is looked for."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml

from harness.models.checksums import digest_of
from harness.paths import bundled
from harness.specs.targets import load_targets
from harness.store.database import Store
from harness.store.tables import TABLES
from harness.store.tables.runs import Runs
from harness.testing.models import random_model, random_sae, tokenizer
from tests.helpers.hub import (
    NOBODY,
    assert_refused,
    environment,
    without_waits,
)
from tests.helpers.hub_server import Hub, Repo
from tests.helpers.specs import some_voices

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


def voices(folder, name="few", **choice):
    """The spec of the voices on few families, with fewer controls."""
    spec = yaml.safe_load(bundled("evals", "voices.yaml").read_text())
    spec["name"] = name
    spec["targets"] = {"gemma-2-2b": {"layers": [0, 1]} | choice}
    spec["claims"] = [
        {key: value for key, value in claim.items() if key not in ("where", "cluster")}
        for claim in spec["claims"]
        if "only" not in claim and "decoy" not in claim
    ]
    # So few families have no principles to count.
    spec["split"] = {"by": "family", "discovery": 0.5, "seed": 42}
    del spec["cluster"]
    spec["prompts"], spec["new_tokens"] = "few.jsonl", 2
    spec["ablations"] = [spec["ablations"][0] | {"controls": 3, "doses": [0, 2]}]
    (folder / "few.jsonl").write_text(some_voices(4))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    return folder / f"{name}.yaml"


def harness_run(spec, hub, db, *options, home=None, token="good", **more):
    call = ["run", str(spec), "--target", "gemma-2-2b", "--device", "cpu", "--dtype", "float32"]
    return subprocess.run(
        [sys.executable, "-m", "harness", *call, "--db", str(db), *options],
        capture_output=True,
        text=True,
        env=environment(home or spec.parent / "home", hub, HF_TOKEN=token, **more),
        timeout=110,
    )


def finished(found, db, spec="few"):
    """The last run of a spec, once it ended as a run of a random model may."""
    assert found.returncode in (0, 1), found.stderr
    assert without_waits(found.stderr) == ""
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
        assert_refused(without.result(), said)
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
        assert_refused(
            found, "google/gemma-2-2b: it is gated and no token is set here; accept its terms"
        )
        assert not db.exists()
