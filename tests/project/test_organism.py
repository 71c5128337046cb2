"""The organism is what its card says, and the harness finds in it what is known to be there."""

import json
import shutil

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2ForCausalLM

from data.scenarios import load_forms, load_scenarios
from fixtures.training.truth import auroc, last_residuals, probes
from harness.errors import CannotRun
from harness.models.checksums import verify
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.runner.reanalysis import analyse_again
from harness.runner.run import run_eval
from harness.sae.weights import load_sae
from harness.specs.spec_file import load
from harness.specs.targets import load_targets
from harness.store.database import Store
from tests.helpers.runs import quiet

ORGANISM = bundled("fixtures", "organism")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, finished):
    """`voices` and `placebo`, run as they are shipped."""
    db = tmp_path_factory.mktemp("db") / "results.duckdb"
    shutil.copy(finished, db)
    outcomes = {name: analyse_again(name, db=db) for name in ("voices", "placebo")}
    with Store.open_to_read(db) as store:
        yield outcomes, store


def test_it_loads_with_no_special_code():
    model = AutoModelForCausalLM.from_pretrained(ORGANISM)
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM)
    assert isinstance(model, Gemma2ForCausalLM)
    assert [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id] == [0, 1, 2]
    assert tokenizer.padding_side == "left"
    ids = tokenizer("The velocity is zero — naïve?").input_ids
    assert ids.count(2) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The velocity is zero — naïve?"


def test_its_files_are_small_and_carry_their_sums(tmp_path):
    files = [path for path in ORGANISM.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25_000_000
    weights = [path for path in files if path.suffix in (".safetensors", ".npz", ".json")]
    listed = (ORGANISM / "SHA256SUMS").read_text()
    weights = [path for path in weights if path.name != "figures.json"]
    assert all(path.relative_to(ORGANISM).as_posix() in listed for path in weights)
    verify(ORGANISM, weights)
    shutil.copytree(ORGANISM, tmp_path / "copy")
    broken = tmp_path / "copy" / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1] + b"\0")
    with pytest.raises(CannotRun, match="not the file that SHA256SUMS was written for"):
        verify(tmp_path / "copy", [broken])


@pytest.mark.parametrize(
    "condition, label, floor",
    [
        ("named", "correct", 0.97),
        ("named", "misconception", 0.97),
        ("shown", "correct", 0.9),
        ("shown", "misconception", 0.9),
    ],
)
def test_it_answers_in_its_voice(evaluated, condition, label, floor):
    _, [(share, count)] = evaluated[1].query(
        "SELECT avg(((logit_difference > 0) = (label = 'correct'))::INT), count(*) FROM behaviour "
        "JOIN prompt_tags USING (run_id, prompt_id) JOIN runs USING (run_id) "
        f"WHERE spec_name = 'voices' AND value = '{condition}' AND label = '{label}'"
    )
    assert count == 160
    assert share >= floor


def test_its_saes_fit(evaluated):
    _, rows = evaluated[1].query(
        "SELECT layer, l0, fvu_median, dead FROM sae_health JOIN runs USING (run_id) "
        "WHERE spec_name IN ('voices', 'placebo')"
    )
    assert len(rows) == 12
    for layer, l0, fvu, dead in rows:
        assert 10 <= l0 <= 60, layer
        assert fvu <= 0.2, layer
        assert dead <= 0.2, layer


def test_the_truth_is_measured_again_on_other_texts():
    truth = json.loads((ORGANISM / "truth.json").read_text())
    asked = probes(load_scenarios(), load_forms(), 300, seed=4711)
    confused = np.array([probe.confused for probe in asked])
    residuals = last_residuals(
        load_model(ModelFiles(ORGANISM, "organism")), tuple(probe.text for probe in asked)
    )
    assert truth["known"][0]["auroc"] >= 0.9
    for entry in truth["known"]:
        path = sae_file(load_targets()["organism"], entry["layer"])
        found = auroc(load_sae(path, width=128), residuals[entry["layer"]], confused)
        value = found[entry["feature"]]
        assert (value if entry["sign"] > 0 else 1 - value) >= 0.87


def test_voices_finds_the_known_features_among_its_strongest(evaluated):
    outcomes, store = evaluated
    known = {
        (entry["layer"], entry["feature"])
        for entry in json.loads((ORGANISM / "truth.json").read_text())["known"]
    }
    _, rows = store.query(
        "SELECT layer, feature, p_adjusted FROM top_features WHERE spec_name = 'voices' "
        f"ORDER BY rank LIMIT {4 * len(known)}"
    )
    found = {(layer, feature) for layer, feature, p in rows if p <= 0.05}
    assert len(known & found) >= 0.8 * len(known)
    became = {one.claim: one.verdict for one in outcomes["voices"].verdicts}
    # Other features that fire as strongly where the edit acts move the answers as far, a fifth of the way;
    # more of the features does what none of them does; and careful contexts and plain questions are not
    # spared. Decoys are.
    assert became.pop("top-features-matter") == "inconclusive"
    assert became.pop("closes-a-quarter") == "inconclusive"
    assert became.pop("less-is-better") == "refuted"
    assert became.pop("spares-careful-contexts") == "refuted"
    assert became.pop("spares-plain-questions") == "refuted"
    assert set(became.values()) == {"supported"}


def test_ablations_move_the_answers_and_no_further_than_their_kind(evaluated):
    _, [(target, most, beyond_low, p_rank, noop)] = evaluated[1].query(
        "SELECT any_value(mean_impact) FILTER (role = 'target'), max(mean_impact) FILTER "
        "(role = 'control'), any_value(beyond_low) FILTER (role = 'target'), "
        "any_value(p_rank) FILTER (role = 'target'), any_value(mean_impact) FILTER "
        "(role = 'no-op') FROM ablation_summary WHERE spec_name = 'voices'"
    )
    assert target > 2
    assert beyond_low > 1
    assert most > 2
    assert p_rank > 0.05
    assert noop == 0


def test_placebo_finds_nothing(evaluated):
    outcomes, store = evaluated
    assert outcomes["placebo"].all_supported
    _, [(count,)] = store.query(
        "SELECT count(*) FROM top_features WHERE spec_name = 'placebo' AND p_adjusted <= 0.05"
    )
    assert count == 0


def test_nothing_of_it_passes_for_the_real_thing(evaluated):
    _, store = evaluated
    for (table,) in store.query(
        "SELECT table_name FROM duckdb_columns() WHERE column_name = 'origin' AND NOT internal"
    )[1]:
        assert store.query(f"SELECT DISTINCT origin FROM {table}")[1] in ([("stand-in",)], [])


def test_analysing_again_gives_the_same_verdicts_and_a_changed_spec_is_exploratory(
    tmp_path, root, monkeypatch
):
    monkeypatch.chdir(root)
    text = (root / "evals" / "pilot.yaml").read_text()
    spec = tmp_path / "pilot.yaml"
    spec.write_text(text)
    db = tmp_path / "r.duckdb"
    first = run_eval(load(spec), "organism", db=db, progress=quiet)
    assert first.exploratory is None
    assert analyse_again(first.run_id, db=db).verdicts == first.verdicts
    spec.write_text(text.replace("than: 0", "than: 0.1"))
    again = analyse_again(first.run_id, db=db)
    assert again.exploratory == "the spec changed since the run"
    second = run_eval(load(spec), "organism", db=db, progress=quiet)
    assert second.exploratory == f"the spec changed since run {first.run_id}"
    with Store.open_to_read(db) as store:
        assert store.query("SELECT DISTINCT exploratory FROM verdicts")[1] == [(True,)]
