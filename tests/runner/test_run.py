"""Whole runs of a small spec on the organism: what is recorded, what is taken up, what is a mock."""

import shutil
from collections import Counter

import pytest
import torch

from harness.errors import CannotRun, InputError
from harness.models.checksums import digest_of
from harness.models.language_model import LanguageModel
from harness.paths import bundled
from harness.runner.context import How
from harness.runner.reanalysis import analyse_again
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.store.tables import TABLES
from tests.helpers.cli import invoke
from tests.helpers.runs import quiet
from tests.helpers.specs import some_voices, write_few
from tests.helpers.store import query, rows_of


@pytest.fixture
def spec(tmp_path):
    """Half of six families of `voices`, with an ablation."""
    (tmp_path / "few.jsonl").write_text(some_voices(6))

    def write(choice="{layers: [1, 3]}", more=""):
        path = tmp_path / "few.yaml"
        path.write_text(
            f"name: few\nquestion: Does it run?\ntargets: {{organism: {choice}}}\nprompts: few.jsonl\n"
            "new_tokens: 1\ncontrast: {alpha: 0.3}\n" + more + "claims:\n"
            "  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}\n"
        )
        return path

    return write


ABLATION = "ablations: [{name: top, select: {top: 2, by: contrast}, kind: zero, controls: 2}]\n"


def run(spec, tmp_path, **how):
    db = tmp_path / "r.duckdb"
    return run_eval(load(spec), "organism", db=db, how=How(device="cpu", **how), progress=quiet)


def test_every_file_and_hash_is_recorded(spec, tmp_path):
    outcome = run(spec(), tmp_path)
    ((files, hashes, dtype, attention, peak),) = query(
        outcome.db, "SELECT sae_files, sae_hashes, dtype, attention, peak_memory FROM runs"
    )
    folder = bundled("fixtures", "organism", "sae")
    assert [file.split("/")[0] for file in files] == ["layer_1", "layer_3"]
    assert hashes == [digest_of(folder / file) for file in files]
    assert (dtype, attention) == ("float32", "eager")
    assert peak > 10**8


@pytest.mark.parametrize("kind", ["orthogonal", "jumprelu"])
def test_a_mock_says_so_in_every_row_of_every_table(spec, tmp_path, kind):
    outcome = run(spec(f"{{layers: [1, 3], sae: 'mock:{kind}'}}", ABLATION), tmp_path)
    assert outcome.target.origin == "mock"
    assert not outcome.all_supported
    assert outcome.verdicts[0].verdict == "supported"
    told = [table for table in TABLES if "origin" in table.names()]
    assert len(told) > 8
    for table in told:
        found = query(outcome.db, f"SELECT DISTINCT origin FROM {table.table}")
        assert found in ([("mock",)], []), table.table


def test_a_mock_is_unmistakable_and_supports_nothing(spec, tmp_path):
    call = ["run", str(spec()), "--mock", "--device", "cpu", "--db", str(tmp_path / "r.duckdb")]
    found = invoke(*call)
    assert found.exit_code == 1, found.output
    assert "few on organism  MOCK" in found.output
    assert "mock: supported" in found.output
    assert "organism ran with random SAEs" in found.output


def test_a_mock_and_a_real_run_are_no_versions_of_each_other(spec, tmp_path):
    assert run(spec(), tmp_path, mock="orthogonal").exploratory is None
    assert run(spec(), tmp_path).exploratory is None
    assert run(spec(), tmp_path, mock="orthogonal").exploratory is None


def test_without_layers_no_sae_is_looked_for(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "harness.models.sae_files.sae_file", lambda *_: pytest.fail("an SAE was looked for")
    )
    outcome = run(spec("{layers: none, sae: nowhere/at-all}"), tmp_path)
    assert outcome.verdicts[0].verdict == "supported"
    assert query(outcome.db, "SELECT sae, sae_files, layers FROM runs") == [("none", [], [])]
    assert query(outcome.db, "SELECT count(*) FROM activations") == [(0,)]


def test_an_edit_at_a_token_that_no_prompt_has_is_refused_before_anything_is_stored(spec, tmp_path):
    """`check` knows no tokenizer and refuses only what no tokenizer could make of the text."""
    at = ABLATION.replace("kind: zero", "positions: [-1, 300]")
    with pytest.raises(InputError, match=r"few, ablation top: no prompt has a token 300: the long"):
        run(spec(more=at), tmp_path)
    assert not (tmp_path / "r.duckdb").exists()
    assert run(spec(more=at.replace("300", "5")), tmp_path).verdicts


def test_missing_saes_stop_an_eval_unless_random_ones_are_allowed(spec, tmp_path):
    path = spec("{layers: [1], files: 'no/layer_{layer}.npz'}")
    with pytest.raises(CannotRun, match="there is no such SAE"):
        run(path, tmp_path)
    said = []
    how = How(device="cpu", mock_if_missing=True)
    outcome = run_eval(
        load(path),
        "organism",
        db=tmp_path / "r.duckdb",
        how=how,
        progress=quiet,
        say=said.append,
    )
    assert outcome.target.origin == "mock"
    assert any("random SAEs, which are no evidence of anything" in line for line in said)


def test_a_run_that_is_taken_up_keeps_its_own_batch_size(spec, tmp_path, monkeypatch):
    """The free memory differs from one hour to the next, and must not make it another run."""
    path = spec(more=ABLATION)

    def stop(stage, done, total):
        if stage.startswith("survey"):
            raise KeyboardInterrupt

    monkeypatch.setattr("harness.runner.workplace.rows_that_fit", lambda *_: 4)
    with pytest.raises(KeyboardInterrupt):
        run_eval(
            load(path),
            "organism",
            db=tmp_path / "r.duckdb",
            how=How(device="cpu"),
            progress=stop,
        )
    monkeypatch.setattr("harness.runner.workplace.rows_that_fit", lambda *_: 16)
    run(path, tmp_path)
    assert query(tmp_path / "r.duckdb", "SELECT status, batch_size FROM runs") == [("finished", 4)]
    run(path, tmp_path, batch_size=8)
    assert query(tmp_path / "r.duckdb", "SELECT count(*), max(batch_size) FROM runs") == [(2, 8)]


def test_the_dtype_that_is_asked_for_is_recorded_and_float16_is_warned_about(spec, tmp_path):
    said = []
    how = How(device="cpu", dtype="float16")
    outcome = run_eval(
        load(spec()), "organism", db=tmp_path / "r.duckdb", how=how, progress=quiet, say=said.append
    )
    assert any("float16 overflows" in line for line in said)
    assert query(outcome.db, "SELECT dtype FROM runs") == [("float16",)]


@pytest.mark.parametrize("features", [512, 1024])
def test_another_number_of_features_than_published_is_warned_about(spec, tmp_path, features):
    """A collection's file may not be what its name says; its shapes are believed."""
    said = []
    width = {512: "65k", 1024: "1k"}[features]
    path = spec(f"{{layers: [1], width: {width}, files: 'layer_{{layer}}/width_1k/*/params.npz'}}")
    run_eval(
        load(path),
        "organism",
        db=tmp_path / "r.duckdb",
        how=How(device="cpu"),
        progress=quiet,
        say=said.append,
    )
    assert any("1024 features where 65536 are expected" in line for line in said) is (
        features == 512
    )


def test_a_run_that_is_taken_up_keeps_its_number_of_threads(spec, tmp_path, monkeypatch):
    """Between how many a sum is divided shows in its last bits."""
    path, before = spec(more=ABLATION), torch.get_num_threads()
    seen = Counter()

    def watched(forward):
        def watch(*given, **named):
            seen[torch.get_num_threads()] += 1
            return forward(*given, **named)

        return watch

    for name in ("forward", "cached_forward", "replay"):
        monkeypatch.setattr(LanguageModel, name, watched(getattr(LanguageModel, name)))

    def stop(stage, done, total):
        if stage.startswith("survey"):
            raise KeyboardInterrupt

    db = tmp_path / "r.duckdb"
    with pytest.raises(KeyboardInterrupt):
        run_eval(load(path), "organism", db=db, how=How(device="cpu", threads=3), progress=stop)
    assert torch.get_num_threads() == before
    run_eval(load(path), "organism", db=db, how=How(device="cpu"), progress=quiet)
    assert list(seen) == [3]
    assert seen[3] > 10
    assert torch.get_num_threads() == before
    assert query(db, "SELECT status, threads FROM runs") == [("finished", 3)]


def test_a_results_file_that_cannot_be_written_is_said_before_the_model_is_loaded(
    spec, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "harness.runner.resources.load_or_reuse", lambda *_, **__: pytest.fail("it was loaded")
    )
    (tmp_path / "r.duckdb").write_text("no database" * 999)
    with pytest.raises(CannotRun, match="it is no DuckDB file"):
        run(spec(), tmp_path)


def test_afresh_begins_a_run_anew(spec, tmp_path):
    def stop(stage, done, total):
        if stage.startswith("survey"):
            raise KeyboardInterrupt

    db, path = tmp_path / "r.duckdb", spec()
    with pytest.raises(KeyboardInterrupt):
        run_eval(load(path), "organism", db=db, how=How(device="cpu"), progress=stop)
    run_eval(load(path), "organism", db=db, resume=False, how=How(device="cpu"), progress=quiet)
    assert query(db, "SELECT status, count(*) FROM runs GROUP BY ALL ORDER BY ALL") == [
        ("finished", 1),
        ("unfinished", 1),
    ]


def test_verdicts_drawn_again_say_what_they_are_drawn_of(spec, tmp_path):
    """The claims that were changed since, in the view of claims and in the evidence, and no others."""
    path = spec(more=ABLATION)
    first = run(path, tmp_path)
    changed = path.read_text().replace("direction: greater", "direction: less")
    path.write_text(changed + "  - {name: added, ablation: top, direction: toward-correct}\n")
    analyse_again("few", db=first.db)
    claims = query(first.db, "SELECT claim, about, direction, verdict, exploratory FROM claims")
    assert ("moved", "logit_difference", "less", "refuted", True) in claims
    assert {claim for claim, *_ in claims} == {"moved", "added"}
    evidence = f"SELECT count(*) FROM evidence('{first.run_id}', 'added')"
    assert query(first.db, evidence)[0][0] > 0
    before = "SELECT spec_hash, analysed_spec IS NULL, exploratory FROM runs"
    ((spec_hash, same, why),) = query(first.db, before)
    assert (same, why) == (False, "the spec changed since the run")
    path.write_text(spec(more=ABLATION).read_text())
    analyse_again("few", db=first.db)
    assert query(first.db, before)[0][:2] == (spec_hash, True)


def test_a_finished_run_is_asked_again_only_where_nothing_changed(few, tmp_path, monkeypatch):
    """What it says then is what it said, and its line stays as it was; by default a run is a new one."""
    db, path = shutil.copy(few[0], tmp_path / "r.duckdb"), write_few(tmp_path)
    monkeypatch.setattr("harness.runner.run.execute", lambda *_: pytest.fail("a new run"))
    before, said = rows_of(db), []
    more = {"db": db, "how": How(device="cpu"), "progress": quiet, "say": said.append}
    outcome = run_eval(load(path), "organism", reuse=True, **more)
    assert outcome.run_id == few[1]
    assert [one.claim for one in outcome.verdicts] == [one.name for one in load(path).spec.claims]
    stored = "SELECT claim, verdict, estimate, p, floor FROM verdicts"
    assert {(v.claim, v.verdict, v.estimate, v.p, v.floor) for v in outcome.verdicts} == set(
        query(db, stored)
    )
    assert f"few: run {few[1]} is of the same content, and finished" in said
    assert rows_of(db) == before
    changed = path.read_text().replace("than: 0}", "than: 0.1}")
    for text, again in ((path.read_text(), False), (changed, True)):
        path.write_text(text)
        with pytest.raises(pytest.fail.Exception, match="a new run"):
            run_eval(load(path), "organism", reuse=again, **more)
