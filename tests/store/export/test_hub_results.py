"""A run's verdicts as evaluation results of the hub."""

import shutil
from pathlib import Path

import duckdb
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from harness.errors import InputError
from harness.store.database import Store
from harness.store.export.hub_results import write_results
from harness.store.find_run import find_run
from harness.store.tables.results import Verdicts
from tests.helpers.cli import exported, invoke
from tests.helpers.store import query


def test_verdicts_are_evaluation_results_that_the_hub_reads(few, tmp_path):
    db, run_id = few
    call_ = ("few", "--format", "hub", "--dataset", "someone/physics")
    folder, _ = exported(tmp_path, db, *call_)
    text = (folder / ".eval_results" / "few.yaml").read_text(encoding="utf-8")
    entries = parse_eval_result_entries(yaml.safe_load(text))
    known = query(
        db,
        "SELECT 'few/' || claim, estimate, verdict, unit FROM verdicts "
        "WHERE run_id = $r AND estimate IS NOT NULL ORDER BY claim",
        r=run_id,
    )
    assert len(known) == 3
    told = sorted(entries, key=lambda one: one.task_id)
    assert [(one.task_id, one.value) for one in told] == [row[:2] for row in known]
    ((finished,),) = query(db, "SELECT finished_at FROM runs WHERE run_id = $r", r=run_id)
    for one, (_, _, verdict, unit) in zip(told, known, strict=True):
        assert one.dataset_id == "someone/physics"
        assert one.date == f"{finished:%Y-%m-%dT%H:%M:%SZ}"
        assert one.notes.startswith(unit)
        assert f"; {verdict}: " in one.notes
        assert "stand-in, not evidence of another model; float32; run " + run_id in one.notes


@pytest.mark.parametrize(
    "changed, estimate, said",
    [({"origin": "mock"}, 1.0, "random SAEs"), ({}, None, "none of its claims has an estimate")],
)
def test_the_hub_is_told_nothing_of_a_mock_nor_of_nothing(few, tmp_path, changed, estimate, said):
    with Store.open_to_read(few[0]) as store:
        run = find_run(store, "few")
        rows = [row | {"estimate": estimate} for row in store.read(Verdicts, run["run_id"]).rows()]
    with pytest.raises(InputError, match=said):
        write_results(run | changed, Verdicts.of(rows), tmp_path, "someone/physics")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dataset", ["", "physics", "a/b/c"])
def test_the_hubs_format_needs_a_dataset(few, tmp_path, dataset):
    arguments = ("--format", "hub", "--dataset", dataset, "--output_dir", tmp_path / "runs")
    found = invoke("export", *arguments, "--db", few[0])
    assert found.exit_code == 2
    assert "give --dataset ORGANISATION/NAME" in found.stderr
    assert not (tmp_path / "runs").exists()


def test_a_refused_export_leaves_no_folder(few, tmp_path):
    db = Path(shutil.copy(few[0], tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET origin = 'mock'")
    options = ["--format", "hub", "--dataset", "a/b", "--output_dir", tmp_path / "runs"]
    assert invoke("export", few[1], *options, "--db", db).exit_code == 2
    assert not list((tmp_path / "runs").iterdir())
