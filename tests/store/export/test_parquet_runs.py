"""A run as Parquet files, and back: any reader finds its rows, and what is damaged is refused."""

import hashlib
import json
import math
import os
import shutil
from datetime import datetime
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import InputError
from harness.store import migrations as schema
from harness.store.database import Store
from harness.store.export.parquet_runs import import_runs, read_export
from harness.store.migrations import VERSION
from harness.store.tables import TABLES
from harness.store.tables.runs import Runs
from tests.helpers.cli import exported, invoke
from tests.helpers.runs import run_on_organism
from tests.helpers.specs import FEW_CLAIMS, write_few
from tests.helpers.store import TABLE_NAMES, changed_copy, query, rows_of

# So that every table has rows.
BESIDE = """\
  - {name: spares, specific: top, within: 5}
  - {name: spares-others, collateral: top, prompts: few.jsonl, within: 5}
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A results file with a finished run and an unfinished one, and the first one's id."""
    folder = tmp_path_factory.mktemp("export")
    db = folder / "r.duckdb"
    run = run_on_organism(write_few(folder, claims=FEW_CLAIMS + BESIDE), db)

    def stop(stage, done, total):
        if stage.startswith("survey"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_organism(write_few(folder, name="broken"), db, stop)
    return db, run


@pytest.fixture(scope="module")
def parquet(stored, tmp_path_factory):
    return exported(tmp_path_factory.mktemp("parquet"), stored[0], "few")[0]


def simple(value):
    """A value of any reader in one form."""
    if value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist") and not isinstance(value, str):
        value = value.tolist()
    if isinstance(value, list):
        return tuple(map(simple, value))
    return value if isinstance(value, bool | str) else float(value)


def simple_rows(rows):
    return sorted((tuple(map(simple, row)) for row in rows), key=repr)


def by_polars(path):
    return polars.read_parquet(path).rows()


def by_pandas(path):
    frame = pandas.read_parquet(path)
    return list(zip(*(frame[name].tolist() for name in frame), strict=True))


def by_duckdb(path):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(f"FROM '{path}'").to_arrow_table().to_pandas().to_numpy().tolist()


@pytest.mark.parametrize("reader", [by_polars, by_pandas, by_duckdb])
def test_any_reader_of_parquet_finds_the_stores_rows(parquet, stored, reader):
    for name, rows in rows_of(*stored).items():
        assert simple_rows(reader(parquet / f"{name}.parquet")) == simple_rows(rows), name


def test_a_run_comes_back_as_it_was(parquet, stored, tmp_path):
    db, run_id = stored
    copy = tmp_path / "db" / "copy.duckdb"
    found = invoke("import", parquet, "--db", copy)
    assert (found.exit_code, found.stdout) == (0, f"{run_id}\n"), found.output
    assert rows_of(copy) == rows_of(db, run_id)
    for sql in ("FROM fingerprints($r)", "FROM claims WHERE run_id = $r", "FROM latest_verdicts WHERE run_id = $r"):  # fmt: skip
        there = query(copy, sql, r=run_id)
        assert there
        assert sorted(there, key=repr) == sorted(query(db, sql, r=run_id), key=repr)
    before = rows_of(copy)
    again = invoke("import", parquet, "--db", copy)
    assert again.exit_code == 2
    assert again.stderr == f"error: run {run_id}: {copy} has it already; there is nothing to import\n"  # fmt: skip
    assert rows_of(copy) == before


def rewritten(folder, name, change):
    """As if it had been exported so: with the sum of the file in the manifest."""
    path = folder / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    summed(folder, name)


def summed(folder, name):
    listed = json.loads((folder / "manifest.json").read_text())
    data = (folder / f"{name}.parquet").read_bytes()
    listed["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(listed))


def replaced(table, column, values):
    at = table.column_names.index(column)
    return table.set_column(at, column, pa.array(values, table.schema.field(column).type))


def renamed(folder, run_id):
    for name in TABLE_NAMES:
        rewritten(folder, name, lambda t: replaced(t, "run_id", [run_id] * len(t)))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"run_id": run_id}))
    return folder


@pytest.fixture(scope="module")
def inhabited(parquet, tmp_path_factory):
    """A store that has another run already."""
    folder = tmp_path_factory.mktemp("inhabited")
    other = renamed(Path(shutil.copytree(parquet, folder / "other")), "other")
    with Store.open(folder / "db.duckdb") as store:
        assert import_runs(store, [read_export(other)], print) == ["other"]
    return folder / "db.duckdb", rows_of(folder / "db.duckdb")


def manifest(**changed):
    def write(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    return write


def written(text):
    return lambda folder: (folder / "manifest.json").write_text(text)


def cut(folder):
    path = folder / "impacts.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def with_foreign_rows(folder):
    rewritten(folder, "impacts", lambda t: replaced(t, "run_id", ["r2", *t["run_id"].to_pylist()[1:]]))  # fmt: skip


def doubled(name):
    return lambda folder: rewritten(folder, name, lambda t: pa.concat_tables([t, t.slice(0, 1)]))


def unsummed(name, change):
    def write(folder):
        path = folder / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return write


def unfinished(folder):
    rewritten(folder, "runs", lambda t: replaced(t, "status", ["unfinished"]))


def line_of(**values):
    def write(folder):
        for column, value in values.items():
            rewritten(folder, "runs", lambda t: replaced(t, column, [value]))  # noqa: B023

    return write


def linked(folder):
    (folder / "impacts.parquet").rename(folder.parent / "elsewhere.parquet")
    (folder / "impacts.parquet").symlink_to(folder.parent / "elsewhere.parquet")


def piped(name):
    def make(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make


def emptied(column):
    return lambda folder: rewritten(folder, "impacts", lambda t: replaced(t, column, [None] * len(t)))  # fmt: skip


def foreign(more=None):
    def write(folder):
        columns = {"a": [1]}
        if more:
            columns["run_id"] = pq.read_table(folder / "runs.parquet")["run_id"]
        pq.write_table(pa.table(columns), folder / "prompts.parquet")
        summed(folder, "prompts")

    return write


def without(name, column):
    return lambda folder: rewritten(folder, name, lambda t: t.drop_columns([column]))


def worded(folder):
    rewritten(
        folder,
        "impacts",
        lambda t: t.drop_columns(["impact"]).append_column("impact", pa.array(["much"] * len(t))),
    )


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda folder: (folder / "impacts.parquet").unlink(), "impacts.parquet: it is missing"),
        (cut, "impacts.parquet: cannot be read as Parquet"),
        (lambda folder: (folder / "runs.parquet").write_text("x"), "cannot be read as Parquet"),
        (
            unsummed("answers", lambda t: pa.concat_tables([t, t])),
            "answers.parquet: it is not the file",
        ),
        (unsummed("impacts", lambda t: t.slice(0, 10)), "impacts.parquet: it is not the file"),
        (unfinished, "is not finished"),
        (foreign(), "prompts.parquet holds other rows"),
        (foreign("the run's id"), "no tables of a results file"),
        (worded, "no tables of a results file"),
        (with_foreign_rows, "impacts.parquet holds other rows than those of run"),
        (line_of(spec="{}"), "its spec is not one that this harness reads"),
        (line_of(spec="[" * 100_000), "its spec is not one that this harness reads"),
        (line_of(spec_name="../../up"), "its spec_name is no name: '../../up'"),
        (line_of(target="$(id)"), "its target is no name: '$(id)'"),
        (line_of(target="other"), "has no such target"),
        (line_of(spec_hash="0" * 64), "its spec is not the one that its hash is of"),
        (line_of(origin="gold"), "its origin is 'gold'"),
        (manifest(run_id="../../up"), "manifest.json: cannot be read"),
        (manifest(sha256={"runs": "0", "../../up": "0"}), "manifest.json: cannot be read"),
        (linked, "impacts.parquet: it is missing"),
        (piped("impacts.parquet"), "impacts.parquet: it is missing"),
        (piped("manifest.json"), "manifest.json: it is no regular file"),
        (doubled("runs"), "runs.parquet holds other rows than those of run"),
        (doubled("units"), "no tables of a results file"),
        (emptied("impact"), "no tables of a results file"),
        (without("impacts", "impact"), "no tables of a results file"),
        (without("impacts", "source_id"), "no tables of a results file"),
        (manifest(run_id="r2"), "holds other rows than those of run r2"),
        (manifest(schema=99), "it is of a newer harness (schema 99"),
        (manifest(schema="five"), "manifest.json: cannot be read"),
        (manifest(schema=None), "manifest.json: cannot be read"),
        (manifest(schema=1), "manifest.json: cannot be read"),
        (manifest(schema=-3), "manifest.json: cannot be read"),
        (
            written("[]"),
            "manifest.json: cannot be read: it names no schema and run of this harness",
        ),
        (written('["schema", "run_id"]'), "manifest.json: cannot be read"),
        (written("5"), "manifest.json: cannot be read"),
        (written("{"), "manifest.json: cannot be read"),
        (
            lambda folder: (folder / "manifest.json").unlink(),
            "manifest.json: cannot be read: no such file",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_export_is_refused_in_a_sentence(parquet, inhabited, tmp_path, damage, said):
    folder = Path(shutil.copytree(parquet, tmp_path / "x"))
    damage(folder)
    first, before = inhabited
    db = Path(shutil.copy(first, tmp_path / "db.duckdb"))
    found = invoke("import", folder, "--db", db)
    assert isinstance(found.exception, SystemExit), found.exception or found.output
    assert said in found.stderr
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert found.exit_code == 2
    assert rows_of(db) == before


@pytest.mark.parametrize("limit", ["MOST_ROWS", "MOST_BYTES", "MOST_COLUMNS"])
def test_a_table_of_more_than_any_run_has_is_refused_before_it_is_in_memory(
    parquet, tmp_path, monkeypatch, limit
):
    monkeypatch.setattr(f"harness.store.export.parquet.{limit}", 5)
    found = invoke("import", parquet, "--db", tmp_path / "db.duckdb")
    assert found.exit_code == 2
    assert "it holds more than" in found.stderr
    assert not (tmp_path / "db.duckdb").exists()


def test_a_run_of_another_results_file_is_looked_at_before_any_is_taken(stored, tmp_path):
    db, _ = stored
    other = changed_copy(
        db, tmp_path, "INSERT INTO runs SELECT * REPLACE ('../../up' AS run_id) FROM runs LIMIT 1"
    )
    found = invoke("import", other, "--db", tmp_path / "db.duckdb")
    assert found.exit_code == 2
    assert "its run_id is no name" in found.stderr
    with Store.open_to_read(tmp_path / "db.duckdb") as store:
        assert len(store.read(Runs)) == 0


def test_what_cannot_be_imported_at_all_is_named(tmp_path):
    db = tmp_path / "r.duckdb"
    with Store.open(db):
        pass
    for source, said in (
        (tmp_path / "none", "there is no such file"),
        (tmp_path, "manifest.json: cannot be read"),
    ):
        found = invoke("import", source, "--db", db)
        assert said in found.stderr
        assert found.exit_code == 2
    found = invoke("import", db, "--db", db)
    assert "it is the results file itself" in found.stderr


def test_an_export_of_an_older_schema_is_brought_up_to_date(parquet, stored, tmp_path, monkeypatch):
    known = rows_of(*stored)["impacts"]
    plain = schema._sql
    more = (
        "ALTER TABLE impacts ADD COLUMN doubled DOUBLE;\nUPDATE impacts SET doubled = 2 * impact;\n"
        "CREATE TABLE notes (run_id VARCHAR NOT NULL, note VARCHAR);\n"
        "INSERT INTO notes SELECT run_id, question FROM runs;\n"
    )

    def sql(*path):
        if path[-1] == f"{VERSION + 1:04}.sql":
            return more
        return plain(*path) + (more if path == ("schema.sql",) else "")

    monkeypatch.setattr(schema, "_sql", sql)
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    monkeypatch.setattr("harness.store.export.parquet_runs.VERSION", VERSION + 1)
    with Store.open(tmp_path / "new.duckdb") as store:
        assert import_runs(store, [read_export(parquet)], print) == [stored[1]]
        _, impacts = store.query("FROM impacts ORDER BY ALL")
        assert store.query("SELECT run_id, note FROM notes")[1] == [(stored[1], "Does it run?")]
    at = next(kind for kind in TABLES if kind.table == "impacts").names().index("impact")
    assert [row[:-1] for row in impacts] == known
    assert [row[-1] for row in impacts] == [2 * row[at] for row in known]


def test_an_export_of_schema_5_comes_without_tokens(parquet, stored, tmp_path):
    folder = Path(shutil.copytree(parquet, tmp_path / "old"))
    manifest = json.loads((folder / "manifest.json").read_text())
    later = ("prompt_tokens", "token_activations", "feature_logits", "impact_noise")
    later = (*later, "edit_activity", "control_balance", "other_prompts", "side_effects")
    later = (*later, "output_scores", "moderators", "selection_stability", "selection_overlap")
    empty = ("registrations", "baselines", "decoys", "baseline_directions", "baseline_tests")
    empty = (*empty, "injected_tokens", "injections", "injection_tests", "crossfit_splits")
    empty = (*empty, "matched_features", "attribution_errors", "random_features")
    later = (*later, *empty[1:])
    for name in dict.fromkeys((*later, *empty)):
        assert name in empty or rows_of(*stored)[name]
        (folder / f"{name}.parquet").unlink()
        del manifest["sha256"][name]
    columns = {
        "runs": [
            *("noise_floor", "arithmetic", "accelerator", "feature_sources"),
            *("variant_correct", "variant_misconception", "metrics", "hook"),
        ],
        "ablation_tests": ["noise"],
    }
    columns["interventions"] = ["tied", "baseline"]
    columns["prompts"] = ["baseline", "variant", "messages", "further"]
    columns |= {name: ["member"] for name in ("answers", "impact_tokens")}
    columns["verdicts"] = ["p_holm", "n_toward", "share_low", "share_high"]
    for name, last in columns.items():
        path = folder / f"{name}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(last), path)
        manifest["sha256"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": 5}))
    found = invoke("import", folder, "--db", tmp_path / "new.duckdb")
    assert found.exit_code == 0, found.output
    left = {name: [] for name in later}
    for name, last in columns.items():  # they come last in their table
        kept = [one.startswith(("variant", "hook")) for one in last]  # by its role, and the stream
        rows = [
            (
                *row[: -len(last)],
                *(v if k else None for v, k in zip(row[-len(last) :], kept, strict=True)),
            )
            for row in rows_of(*stored)[name]
        ]
        left[name] = sorted(rows, key=repr)
    # It was registered at the latest when it was run.
    of_run = "SELECT spec_hash, created_at FROM runs WHERE run_id = $r"
    registered = query(
        tmp_path / "new.duckdb", "SELECT spec_hash, registered_at FROM registrations"
    )
    assert registered == query(stored[0], of_run, r=stored[1])
    came = rows_of(tmp_path / "new.duckdb")
    came |= {name: sorted(came[name], key=repr) for name in columns}
    assert came == rows_of(*stored) | left


def test_an_older_schema_whose_tables_are_wrong_is_refused(parquet, tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    monkeypatch.setattr("harness.store.export.parquet_runs.VERSION", VERSION + 1)
    plain = schema._sql
    monkeypatch.setattr(
        schema,
        "_sql",
        lambda *path: "ALTER TABLE nowhere ADD COLUMN x INT;" if "migrations" in path else plain(*path),
    )  # fmt: skip
    with Store.open(tmp_path / "new.duckdb") as store:
        with pytest.raises(InputError, match=f"no tables of schema {VERSION}: .*nowhere"):
            import_runs(store, [read_export(parquet)], print)
        assert store.query("SELECT count(*) FROM runs")[1] == [(0,)]


def test_another_results_file_gives_its_finished_runs(stored, tmp_path):
    db, run_id = stored
    ((broken,),) = query(db, "SELECT run_id FROM runs WHERE status = 'unfinished'")
    bytes_before = db.read_bytes()
    copy = tmp_path / "all.duckdb"
    found = invoke("import", db, "--db", copy)
    assert (found.exit_code, found.stdout) == (0, f"{run_id}\n")
    assert found.stderr == f"{broken} is not finished: left out\n"
    assert rows_of(copy) == rows_of(db, run_id)
    again = invoke("import", db, "--db", copy)
    assert (again.exit_code, again.stdout) == (0, "")
    assert f"{run_id} is here already: left out" in again.stderr
    assert rows_of(copy) == rows_of(db, run_id)
    assert db.read_bytes() == bytes_before


def test_an_unfinished_run_is_not_exported(stored, tmp_path):
    ((broken,),) = query(stored[0], "SELECT run_id FROM runs WHERE status = 'unfinished'")
    found = invoke("export", broken, "--db", stored[0], "--output_dir", tmp_path / "runs")
    assert found.exit_code == 2
    assert f"run {broken}: it is not finished" in found.stderr
    assert not (tmp_path / "runs").exists()


def test_what_is_refused_leaves_no_trace(parquet, tmp_path):
    """Neither an empty results file nor a half-filled folder."""
    (tmp_path / "notes.yaml").write_text("name: x")
    (tmp_path / "text.duckdb").write_text("no database" * 999)
    damaged = Path(shutil.copytree(parquet, tmp_path / "x"))
    cut(damaged)
    db = tmp_path / "new.duckdb"
    for source in (tmp_path / "notes.yaml", tmp_path / "text.duckdb", damaged, tmp_path / "none"):
        found = invoke("import", parquet, source, "--db", db)
        assert found.exit_code == 2, found.output
        assert found.stderr.startswith(f"error: {source}")
        assert "--db" not in found.stderr
        assert not db.exists()
