"""The notebook draws the figures of a finished run, from that run's rows."""

import gc
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from harness.store.database import Store
from tests.helpers.runs import run_on_organism
from tests.helpers.specs import write_few

FIGURES = ("behaviour", "volcano", "against_controls", "dose_response")


@pytest.fixture(scope="module")
def stored(tmp_path_factory, few):
    """A run with an ablation and doses, and after it one that only behaves."""
    folder = tmp_path_factory.mktemp("notebook")
    db = shutil.copy(few[0], folder / "r.duckdb")
    claim = "claims:\n  - {name: right, behaviour: logit_difference, direction: greater}\n"
    run_on_organism(
        write_few(folder, more="split: {discovery: 0}\n", claims=claim, name="bare"), db
    )
    return db, few[1]


@pytest.fixture(autouse=True)
def collected():
    """What a notebook leaves behind is let go here: its finalizers fail in the middle of others' work."""
    yield
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    gc.collect()
    sys.unraisablehook = hook


def drawn(root, monkeypatch, db, run):
    """What the notebook's cells define, run in this process."""
    monkeypatch.setenv("HARNESS_DB", str(db))
    monkeypatch.setenv("HARNESS_RUN", run)
    spec = importlib.util.spec_from_file_location("notebook", root / "docs" / "notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, definitions = module.app.run()
    return definitions


def rows_of(figure):
    return [row for rows in figure.to_dict()["datasets"].values() for row in rows]


def test_each_figure_has_the_rows_of_its_run(root, monkeypatch, stored):
    db, run_id = stored
    found = drawn(root, monkeypatch, db, run_id)
    rows = {name: rows_of(found[name]) for name in FIGURES}
    with Store.open_to_read(db) as store:

        def count(text):
            ((number,),) = store.query(f"SELECT count(*) {text}", {"run": run_id})[1]
            return number

        assert len(rows["behaviour"]) == 2 * count("FROM family_contrasts WHERE run_id = $run")
        assert len(rows["volcano"]) == count("FROM top_features WHERE run_id = $run")
        doses = "FROM dose_response JOIN runs USING (run_id) WHERE run_id = $run"
        assert len(rows["dose_response"]) == count(
            doses + " AND dose_response.metric = runs.metric"
        )
    assert {row["role"] for row in rows["against_controls"]} == {"target", "control"}
    values = {row["strength"] for row in rows["volcano"]}
    assert len(values) > 1
    assert all(row["nats"] == row["nats"] for row in rows["behaviour"])


def test_a_run_without_ablations_says_so(root, monkeypatch, stored):
    found = drawn(root, monkeypatch, stored[0], "bare")
    assert found["run"]["spec_name"] == "bare"
    assert rows_of(found["behaviour"])
    assert not rows_of(found["against_controls"])


def test_it_becomes_a_page(root, stored, tmp_path):
    page = tmp_path / "page.html"
    notebook = shutil.copy(root / "docs" / "notebook.py", tmp_path)
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "marimo",
            "export",
            "html",
            notebook,
            "-o",
            page,
        ],
        env=os.environ | {"HARNESS_DB": str(stored[0]), "HARNESS_RUN": stored[1]},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    text = page.read_text(encoding="utf-8")
    assert "Behaviour by family" in text
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize(
    "db, run, status, said",
    [("none.duckdb", "latest", 3, "there are no results yet"), ("", "nobody", 2, "no such run")],
)
def test_without_its_store_or_run_it_says_so_in_a_line(
    root, stored, tmp_path, db, run, status, said
):
    found = subprocess.run(
        [sys.executable, root / "docs" / "notebook.py"],
        env=os.environ | {"HARNESS_DB": db or str(stored[0]), "HARNESS_RUN": run},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == status
    (line,) = found.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
