"""The public Python API: what the commands do, as functions that return."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import harness
from tests.helpers.specs import write_few


def python(code):
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def stored(tmp_path_factory, few):
    """A results file with two small runs of one spec, and the spec."""
    folder = tmp_path_factory.mktemp("api")
    spec, db = write_few(folder), folder / "r.duckdb"
    shutil.copyfile(few[0], db)
    first = few[1]
    outcome = harness.run(spec, target="organism", db=db, resume=False)
    return spec, db, first, outcome


def test_importing_it_loads_no_library():
    loaded = python(
        "import sys; before = set(sys.modules); import harness; dir(harness)\n"
        "print(*(set(sys.modules) - before))"
    ).split()
    heavy = ("torch", "duckdb", "numpy", "pydantic", "pyarrow", "click", "harness.api")
    assert [name for name in loaded if name in heavy] == []
    assert "harness" in loaded


def test_reading_a_spec_and_planning_load_no_torch():
    code = "import sys, harness; harness.plan(harness.load_spec('voices'), 'organism')\n"
    assert python(code + "print('torch' in sys.modules)") == "False\n"


def test_every_public_name_is_there_and_no_other():
    assert set(harness.__all__) <= set(dir(harness))
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        harness.nothing  # noqa: B018


def test_no_module_of_the_package_has_the_name_of_a_public_function():
    there = Path(harness.__file__).parent.iterdir()
    modules = {path.stem for path in there if path.is_dir() or path.suffix == ".py"}
    assert not modules & set(harness.__all__)


def test_the_version_is_the_packages():
    assert python("import harness; print(harness.__version__)").count(".") == 2


def test_plan_says_the_same_of_a_path_and_of_its_spec(root, monkeypatch):
    monkeypatch.chdir(root)
    by_path = harness.plan("voices", "organism")
    assert by_path == harness.plan(harness.load_spec("evals/voices.yaml"), "organism")
    assert by_path.target.name == "organism"
    assert harness.plan("voices").target.name == "gemma-2-2b"


def test_what_is_wrong_with_a_spec_is_raised_with_all_faults():
    spec = harness.load_spec("voices")
    with pytest.raises(harness.InputError, match="did you mean 'organism'"):
        harness.plan(spec, "organsim")
    with pytest.raises(harness.InputError, match=r"spec voices: there is no nowhere.jsonl"):
        harness.plan(spec.model_copy(update={"prompts": "nowhere.jsonl"}))
    split = spec.split.model_copy(update={"holdout": None})
    same = spec.model_copy(update={"prompts": "data/kinematics.jsonl", "split": split})
    with pytest.raises(harness.InputError, match=r"spec voices, readout.at: both variants of 384"):
        harness.plan(same, "organism")


def test_run_returns_what_it_stored(stored):
    _, db, first, outcome = stored
    assert isinstance(outcome, harness.Outcome)
    assert outcome.run_id != first
    assert outcome.db == db
    with harness.open_store(db) as results:
        kept = {one.claim: one for one in results.verdicts(outcome.run_id)}
    assert kept == {one.claim: one for one in outcome.verdicts}


def test_run_is_quiet_and_says_its_notes_where_it_is_asked_to(stored, tmp_path, capfd):
    spec, db = stored[0], tmp_path / "r.duckdb"
    quiet = harness.run(spec, target="organism", db=db, mock=True)
    assert capfd.readouterr() == ("", "")
    assert not quiet.all_supported  # a mock supports nothing
    said = []
    harness.run(spec, target="organism", db=db, mock=True, resume=False, say=said.append)
    assert said[0].startswith("few on organism (as asked), cpu")
    assert any(line.startswith("  observe: ") for line in said)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"dtype": "float23"}, "dtype float23: there is none; did you mean 'float32'?"),
        ({"batch_size": 0}, "batch_size 0: it is below 1; give more, or leave it out"),
        ({"limit": -1}, "limit -1: it is below 1; give more, or leave it out"),
    ],
)
def test_wrong_options_of_a_run_are_said(stored, tmp_path, option, message):
    with pytest.raises(harness.InputError) as raised:
        harness.run(stored[0], target="organism", db=tmp_path / "r.duckdb", **option)
    assert str(raised.value) == message


def test_a_limited_run_supports_nothing(stored, tmp_path):
    outcome = harness.run(stored[0], target="organism", db=tmp_path / "r.duckdb", limit=2)
    assert outcome.families == 4
    assert outcome.exploratory
    assert not outcome.all_supported


def test_a_results_file_is_asked_in_sql_and_by_saved_queries(stored):
    _, db, first, outcome = stored
    with harness.open_store(str(db)) as results:
        assert results.path == db
        own = results.sql("SELECT count(*) AS n FROM verdicts WHERE run_id = $run", run=first)
        assert isinstance(own, pa.Table)
        assert own.to_pylist() == [{"n": len(outcome.verdicts)}]
        top = results.sql("top_features", run=outcome.run_id, limit=3)
        assert top.column("rank").to_pylist() == [1, 2, 3]
        # `run` is the latest where it is left out.
        latest = results.sql("SELECT $run AS run").to_pylist()
        assert latest == [{"run": outcome.run_id}]
        assert len(results.frame("FROM verdicts")) == 2 * len(outcome.verdicts)
        with pytest.raises(harness.InputError, match="DELETE is refused"):
            results.sql("DELETE FROM runs")
        with pytest.raises(harness.InputError, match=r"it has no parameter \$x"):
            results.sql("FROM runs", x=1)
        with pytest.raises(harness.InputError, match="did you mean 'top_features'"):
            results.sql("top_feature")


def test_runs_are_lines_of_plain_values_the_newest_first(stored):
    _, db, first, outcome = stored
    with harness.open_store(db) as results:
        lines = results.runs()
        assert [line["run_id"] for line in lines] == [outcome.run_id, first]
        assert results.find_run() == lines[0]
        assert results.find_run(first)["exploratory"] is None
        assert lines[0]["peak_device_memory"] is None
        json.dumps(lines, default=str, allow_nan=False)
        with pytest.raises(harness.InputError, match="there is no such run"):
            results.find_run("nothing")


def test_the_file_can_be_written_to_when_it_is_closed(stored, tmp_path):
    db = tmp_path / "r.duckdb"
    db.write_bytes(stored[1].read_bytes())
    with harness.open_store(db) as results:
        results.runs()
    from harness.store.database import Store

    Store.open(db).__exit__()
    with harness.open_store(db, snapshot=True) as results, Store.open(db):
        assert results.runs()


def test_two_runs_are_compared(stored):
    _, db, first, outcome = stored
    found = harness.compare(first, outcome.run_id, db=db)
    assert isinstance(found, harness.Comparison)
    assert found.a["run_id"] == first
    assert {row.difference for row in found.rows} == {0.0}
    with pytest.raises(harness.InputError, match="it is both"):
        harness.compare(first, first, db=db)
    with pytest.raises(harness.CannotRun, match="there are no results yet"):
        harness.compare(first, db=db.with_name("none.duckdb"))


def test_a_report_is_written_where_it_is_asked_for(stored, undrawn, tmp_path, monkeypatch):
    _, db, first, outcome = stored
    page = harness.report(first, db=db, output=tmp_path / "page.html")
    assert page == tmp_path / "page.html"
    assert first in page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert harness.report(db=db).name == f"{outcome.run_id}.html"


def test_frames_without_pandas_say_what_to_install(stored, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with (
        harness.open_store(stored[1]) as results,
        pytest.raises(harness.CannotRun, match="pip install 'misconception-harness"),
    ):
        results.frame("FROM runs")


def test_verdicts_can_be_written_as_json(stored):
    verdict = stored[3].verdicts[0]
    assert json.dumps(dataclasses.asdict(verdict))
