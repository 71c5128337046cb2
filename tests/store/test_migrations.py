"""Older results files: brought up to date after a backup, whole or not at all."""

import duckdb
import pytest

from harness.errors import CannotRun
from harness.store import catalog
from harness.store import migrations as schema
from harness.store.database import Store
from harness.store.database_file import connect
from harness.store.migrations import VERSION
from harness.store.tables import TABLES
from harness.store.tables.runs import Runs
from tests.helpers.cli import invoke

OLDER = range(1, VERSION)
SINCE = {
    "impact_tokens": 3,
    "prompt_tokens": 6,
    "token_activations": 6,
    "feature_logits": 7,
    "impact_noise": 8,
    "edit_activity": 9,
    "control_balance": 9,
    "other_prompts": 10,
    "side_effects": 10,
    "moderators": 10,
    "baselines": 11,
    "decoys": 11,
    "selection_stability": 13,
    "selection_overlap": 13,
    "baseline_directions": 13,
    "baseline_tests": 13,
    "injected_tokens": 13,
    "injections": 13,
    "injection_tests": 13,
    "crossfit_splits": 14,
    "matched_features": 14,
    "attribution_errors": 14,
    "output_scores": 14,
    "random_features": 14,
}


def old_file(path, root, version):
    """A file as a harness of that version left it, with a row in every table."""
    with duckdb.connect(str(path)) as connection:
        connection.execute((root / "tests" / "schemas" / f"v{version}.sql").read_text())
        for (table,) in connection.execute("SHOW TABLES").fetchall():
            if table == "schema_version" or is_view(connection, table):
                continue
            columns = connection.execute(f"DESCRIBE {table}").fetchall()
            values = ", ".join(f"{value_of(name, kind)} AS {name}" for name, kind, *_ in columns)
            connection.execute(f"INSERT INTO {table} SELECT {values}")
    return path


def is_view(connection, name):
    return bool(connection.execute("FROM duckdb_views() WHERE view_name = ?", [name]).fetchall())


def value_of(name, kind):
    if name == "status":
        return "'finished'"
    if name == "spec":
        return '\'{"claims": [{"name": "x"}]}\''
    if kind.startswith("TIMESTAMP"):
        return "'2026-02-15 12:00:00+00'::TIMESTAMPTZ"
    return {"VARCHAR": "'x'", "BOOLEAN": "true"}.get(kind, f"[3]::{kind}" if "[]" in kind else "3")


def columns_of(connection):
    sql = (
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY ALL"
    )
    return connection.execute(sql).fetchall()


@pytest.mark.parametrize("version", OLDER)
def test_an_older_file_has_todays_tables_and_all_of_its_rows(tmp_path, root, version):
    path = old_file(tmp_path / "results.duckdb", root, version)
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [kind.table for kind in TABLES if version >= SINCE.get(kind.table, 1)]
        connection.execute("SET TimeZone = 'UTC'")
        before = {name: connection.sql(f"FROM {name}").to_arrow_table() for name in tables}
    original = path.read_bytes()
    said = []
    with Store.open(path, say=said.append) as store:
        assert len(said) == 1
        assert f"from schema {version} to {VERSION}" in said[0]
        for name, rows in before.items():
            now = store.table(f"FROM {name}")
            assert now.select(rows.column_names) == rows, name
        for kind in TABLES:
            assert len(store.read(kind)) == (kind.table in before)
        assert next(store.read(Runs).rows())["sae_files"] == (["3"] if version >= 4 else [])
        if version == 13:  # what was put into texts until then were single tokens
            assert store.query("SELECT gram, before FROM injected_tokens")[1] == [(1, [])]
            assert store.query("SELECT gram FROM injection_tests")[1] == [(1,)]
            assert store.query("SELECT gram FROM injections")[1] == [(1,)]
    backup = tmp_path / f"results.schema-{version}.duckdb"
    assert backup.read_bytes() == original
    with Store.open(tmp_path / "fresh.duckdb"):
        pass
    with duckdb.connect(str(path)) as old, duckdb.connect(str(tmp_path / "fresh.duckdb")) as new:
        assert columns_of(old) == columns_of(new)
        views = "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
        assert old.execute(views).fetchall() == new.execute(views).fetchall()
        assert old.execute("SELECT version FROM schema_version").fetchall()[-1] == (VERSION,)
    with Store.open(path, say=said.append):
        assert len(said) == 1  # once


@pytest.mark.parametrize("version", OLDER)
def test_reading_an_older_file_brings_it_up_to_date_first(tmp_path, root, version):
    path = old_file(tmp_path / "results.duckdb", root, version)
    found = invoke("sql", "top_features", "--run", "x", "--db", path)
    assert found.exit_code == 0, found.output
    assert "brought from schema" in found.stderr
    assert invoke("sql", "runs", "--db", path).stderr == ""


def test_a_snapshot_of_an_older_file_leaves_the_file_as_it_is(tmp_path, root):
    path = old_file(tmp_path / "results.duckdb", root, 2)
    original = path.read_bytes()
    assert invoke("sql", "runs", "--snapshot", "--db", path).exit_code == 0
    assert path.read_bytes() == original
    assert [file.name for file in tmp_path.iterdir()] == ["results.duckdb"]


def test_a_migration_that_fails_changes_nothing(tmp_path, root, monkeypatch):
    path = old_file(tmp_path / "results.duckdb", root, 3)
    with duckdb.connect(str(path), read_only=True) as connection:
        before = columns_of(connection)
    plain = schema._sql
    monkeypatch.setattr(
        schema, "_sql", lambda *p: plain(*p) + ("FROM nowhere;" if "0005.sql" in p else "")
    )
    with pytest.raises(CannotRun, match="nowhere"):
        Store.open(path)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert columns_of(connection) == before
        assert connection.execute("SELECT max(version) FROM schema_version").fetchall() == [(3,)]
    monkeypatch.undo()
    with Store.open(path) as store:
        assert len(store.read(Runs)) == 1
    assert (tmp_path / "results.schema-3-2.duckdb").exists()  # no backup takes another's place


def test_every_version_has_its_migration_and_its_old_schema(root):
    numbers = [int(file.stem) for file in sorted((root / "db" / "migrations").glob("*.sql"))]
    assert numbers == list(range(2, VERSION + 1))
    assert (root / "tests" / "schemas" / f"v{VERSION - 1}.sql").exists()


def test_a_stranger_s_database_and_an_empty_one_are_told_from_results(tmp_path):
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE customers (name VARCHAR)")
    for opened in (Store.open, Store.open_to_read, Store.probe):
        with pytest.raises(CannotRun, match="no results file: it has the tables customers"):
            opened(tmp_path / "other.duckdb")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    with pytest.raises(CannotRun, match="no results yet"):
        Store.open_to_read(tmp_path / "empty.duckdb")
    with Store.open(tmp_path / "empty.duckdb") as store:
        assert len(store.read(Runs)) == 0


def test_views_follow_the_harness_without_a_new_version(tmp_path):
    """A view that was mended is mended in files that are there, when they are next written to."""
    db = tmp_path / "r.duckdb"
    with Store.open(db):
        pass
    with duckdb.connect(str(db)) as connection:
        connection.execute("CREATE OR REPLACE VIEW behaviour AS SELECT 42 AS answer")
    with Store.open(db) as store:
        assert store.query("DESCRIBE behaviour")[1][0][0] == "run_id"
    with duckdb.connect(str(db)) as connection:
        assert connection.execute("DESCRIBE behaviour").fetchall()[0][0] == "run_id"


def test_what_we_put_in_is_known_again_however_often_a_file_is_written(tmp_path):
    """Views and macros that DuckDB gives back in other words would be put in anew at every opening."""
    db = tmp_path / "r.duckdb"
    with Store.open(db):
        pass
    for _ in range(3):
        with connect(db) as connection:
            assert catalog.has_our_views(catalog.read_catalog(connection))
        with duckdb.connect(str(db)) as connection:  # and all is written again
            connection.execute("CREATE OR REPLACE TABLE x (a INT)")
