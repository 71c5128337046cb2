"""A results file that a stranger made is read, and does nothing else, whoever opens it and for what."""

import ast
import os
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from harness.errors import CannotRun, InputError
from harness.store import catalog
from harness.store.database import Store
from harness.store.database_file import connect
from harness.store.run_names import stored_runs
from harness.store.tables import TABLES
from tests.helpers import ROOT

OPENINGS = (Store.open, Store.probe, Store.open_to_read, Store.open_snapshot)
SECRET = "canary-of-a-secret-file"
# Each runs SQL of the file's maker when somebody asks the file something: a statement, and what it needs
# to be taken away first. {secret} is a file to be read, {made} one to be written.
UNITS = ("CREATE TABLE units (run_id VARCHAR NOT NULL, unit_id VARCHAR NOT NULL, stage VARCHAR NOT NULL, "
         "family VARCHAR NOT NULL, ablation VARCHAR NOT NULL, finished_at TIMESTAMPTZ NOT NULL, ")  # fmt: skip
RUN = {
    "a view for the version": ("schema_version", "CREATE VIEW schema_version AS SELECT content::INTEGER AS version, "
                               "'' AS views FROM read_text('{secret}')"),
    "a view for a table": ("runs", "CREATE VIEW runs AS FROM read_csv('{secret}')"),
    "a view that logs": ("units", "CREATE VIEW units AS FROM enable_logging(storage := 'file', "
                         "storage_config := {{'path': '{made}'}})"),
    "a view of our name": ("", "CREATE OR REPLACE VIEW latest_verdicts AS FROM read_text('{secret}')"),
    "a view of another name": ("", "CREATE VIEW mine AS FROM read_text('{secret}')"),
    "a view in another schema": ("", "CREATE SCHEMA s; CREATE VIEW s.runs AS FROM read_text('{secret}')"),
    "a macro for a function": ("", "CREATE MACRO max(x) AS (SELECT content FROM read_text('{secret}'))"),
    "a macro for an operator": ("", "CREATE MACRO \"+\"(a, b) AS (SELECT content FROM read_text('{secret}'))"),
    "a macro for the catalog": ("", "CREATE MACRO duckdb_views() AS TABLE FROM read_text('{secret}')"),
    "a macro for our macro": ("", "CREATE OR REPLACE MACRO evidence(r, c) AS TABLE FROM read_text('{secret}')"),
    "two macros for our macro": ("", "CREATE OR REPLACE MACRO evidence(r, c) AS TABLE (FROM read_text('{secret}')), "
                                 "(r, c, d) AS TABLE (FROM read_text('{secret}'))"),
    "a macro that profiles": ("", "CREATE MACRO fingerprints_of() AS TABLE FROM "
                              "enable_profiling(save_location := '{made}')"),
    "a macro in another schema": ("", "CREATE SCHEMA s; CREATE MACRO s.max(x) AS 1"),
    "a view of our name in another schema": ("", "CREATE SCHEMA s; CREATE VIEW s.behaviour AS FROM read_text('{secret}')"),
    "a macro of our name in another schema": ("", "CREATE SCHEMA s; CREATE MACRO s.evidence(r, c) AS TABLE SELECT 1"),
    "a macro of values of our macro's name": ("", "CREATE MACRO evidence(r, c) AS error('x')"),
    "a check": ("units", UNITS + "seconds DOUBLE NOT NULL CHECK (seconds < error('x')), PRIMARY KEY (run_id, unit_id))"),
    "a column that is computed": ("units", UNITS + "seconds DOUBLE AS (error('x')), PRIMARY KEY (run_id, unit_id))"),
    "a default of our columns": ("", "ALTER TABLE units ALTER seconds SET DEFAULT error('x')"),
    "an index of an expression": ("", "CREATE INDEX i ON units ((upper(run_id)))"),
    "an index of an operator": ("", "CREATE INDEX i ON units ((seconds + 1))"),
    "a key less": ("units", UNITS + "seconds DOUBLE NOT NULL)"),
    "a key more": ("units", UNITS + "seconds DOUBLE NOT NULL UNIQUE, PRIMARY KEY (run_id, unit_id))"),
    "an old version with a check": ("units", UNITS + "seconds DOUBLE CHECK (seconds < error('x'))); UPDATE schema_version SET version = 6"),
    "a default": ("feature_labels", "CREATE TABLE feature_labels (source VARCHAR DEFAULT (gen_random_uuid()))"),
    "a table for a view": ("VIEW claims", "CREATE TABLE claims (a INTEGER)"),
    "a column less": ("", "ALTER TABLE units DROP COLUMN seconds"),
    "a column of another type": ("", "ALTER TABLE units ALTER seconds TYPE VARCHAR"),
    "a column of the maker's": ("", "ALTER TABLE runs ADD COLUMN own INTEGER"),
    "a table less": ("verdicts", "SELECT 1"),
    "no version": ("", "DELETE FROM schema_version"),
    "a null as version": ("schema_version", "CREATE TABLE schema_version (version INTEGER, views VARCHAR); "
                          "INSERT INTO schema_version VALUES (NULL, NULL)"),
    "a text as version": ("schema_version", "CREATE TABLE schema_version AS SELECT '{secret}' AS version"),
    "a negative version": ("", "UPDATE schema_version SET version = -1"),
    "an old version": ("", "UPDATE schema_version SET version = 1"),
}  # fmt: skip
SHADOWS = (
    "a view of our name",
    "a macro for our macro",
    "two macros for our macro",
)  # these are ours again, whatever the file says


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    file = tmp_path_factory.mktemp("sound") / "results.duckdb"
    with Store.open(file):
        pass
    return file


def plant(file, gone, statement, folder):
    """A file with a stranger's SQL in it; returns the file that is to be read, and the one to be made."""
    secret, made = folder / "secret.txt", folder / "made.txt"
    secret.write_text(SECRET)
    with duckdb.connect(str(file)) as connection:
        if gone:
            kind, name = gone.split() if " " in gone else ("TABLE", gone)
            connection.execute(f"DROP {kind} {name}")
        connection.execute(statement.format(secret=secret, made=made))
    return secret, made


@pytest.mark.parametrize("opening", [*OPENINGS, stored_runs])
@pytest.mark.parametrize("what", RUN)
def test_opening_a_file_runs_nothing_of_it(tmp_path, sound, what, opening):
    file = tmp_path / "results.duckdb"
    shutil.copyfile(sound, file)
    _, made = plant(file, *RUN[what], tmp_path)
    before, there = file.read_bytes(), {path.name for path in tmp_path.iterdir()}
    if opening is stored_runs:
        assert stored_runs(file) == []
    elif what in SHADOWS:
        with opening(file) or Store.open_to_read(file) as store:
            assert store.query("SELECT * FROM latest_verdicts")[1] == []
            assert store.query("FROM evidence('', '')")[1] == []
        return
    else:
        with pytest.raises(CannotRun) as refused:
            opening(file)
        assert SECRET not in str(refused.value)
    assert not made.exists()
    # But for the copy that is kept of an older file, whose tables turn out to be none of that version.
    assert {path.name for path in tmp_path.iterdir()} - there <= {"results.schema-1.duckdb"}
    if what != "an old version":
        assert file.read_bytes() == before


@pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB has triggers since 2.0")
def test_a_trigger_is_refused(tmp_path, sound):
    file = tmp_path / "results.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{sound}' AS sound (READ_ONLY)")
        connection.execute(f"ATTACH '{file}' AS results (STORAGE_VERSION 'v2.0.0')")
        connection.execute("COPY FROM DATABASE sound TO results")
        connection.execute("USE results")
        connection.execute(
            "CREATE TRIGGER t AFTER INSERT ON units FOR EACH STATEMENT DELETE FROM runs"
        )
    for opening in OPENINGS:
        with pytest.raises(CannotRun, match="trigger"):
            opening(file)


def test_what_a_log_beside_the_file_makes_is_refused_as_well(tmp_path, sound):
    """A log is played while the file is opened, and a stranger's file can have one."""
    file = tmp_path / "results.duckdb"
    shutil.copyfile(sound, file)
    connection = duckdb.connect(str(file))
    connection.execute("SET checkpoint_threshold = '1 TB'")
    connection.execute("CREATE MACRO max(x) AS 1")
    other = tmp_path / "other"
    other.mkdir()
    for part in (file, Path(f"{file}.wal")):
        shutil.copyfile(part, other / part.name)
    connection.close()
    for opening in OPENINGS:
        with pytest.raises(CannotRun, match="macro"):
            opening(other / file.name)


@pytest.mark.parametrize(
    "suffix", [".wal", ".wal.checkpoint", ".wal.recovery", ".tmp", ".tmp/duckdb_temp.tmp"]
)
@pytest.mark.parametrize("opening", [*OPENINGS, stored_runs])
def test_nothing_beside_a_file_leads_elsewhere(tmp_path, sound, suffix, opening):
    """DuckDB writes its log through a link, over what is there."""
    file, precious = tmp_path / "in" / "results.duckdb", tmp_path / "precious"
    beside = Path(f"{file}{suffix}")
    beside.parent.mkdir(parents=True)
    shutil.copyfile(sound, file)
    precious.write_text("precious")
    for make in (lambda: beside.symlink_to(precious), lambda: beside.symlink_to(tmp_path / "made"),
                 lambda: os.mkfifo(beside)):  # fmt: skip
        make()
        if opening is stored_runs:
            assert stored_runs(file) == []
        else:
            with pytest.raises(CannotRun, match="it is a link or no regular file; look at it"):
                opening(file)
        beside.unlink()
    assert precious.read_text() == "precious"
    assert not (tmp_path / "made").exists()


def test_a_log_beside_what_a_link_leads_to_is_the_one_that_is_written(tmp_path, sound):
    (tmp_path / "in").mkdir()
    shutil.copyfile(sound, tmp_path / "in" / "results.duckdb")
    link, log = tmp_path / "r.duckdb", tmp_path / "in" / "results.duckdb.wal"
    link.symlink_to(tmp_path / "in" / "results.duckdb")
    Store.open(link).__exit__()
    log.symlink_to(tmp_path / "made")
    with pytest.raises(CannotRun, match=r"results\.duckdb\.wal: DuckDB would write there"):
        Store.open(link)
    log.unlink()
    new = tmp_path / "new.duckdb"  # not made yet
    Path(f"{new}.wal").symlink_to(tmp_path / "made")
    with pytest.raises(CannotRun, match=r"new\.duckdb\.wal: DuckDB would write there"):
        Store.open(new)


def test_a_table_of_one_s_own_stays_and_can_be_asked(tmp_path, sound):
    file = tmp_path / "results.duckdb"
    shutil.copyfile(sound, file)
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "CREATE TABLE mine AS SELECT 7 AS a; CREATE SCHEMA s; CREATE TABLE s.runs AS SELECT 8 AS a"
        )
    with Store.open_to_read(file) as store:
        assert store.ask("SELECT a FROM main.mine").to_pylist() == [{"a": 7}]
        assert store.query("SELECT count(*) FROM runs")[1] == [(0,)]


BYTES = (
    "FROM main.mine, {it}", "FROM s.runs, {it}", "SELECT a, (SELECT count(*) FROM {it}) FROM mine",
    "FROM query('FROM mine, {quoted}')", "FROM \"a b\".runs, {it}", "FROM temp.behaviour, {it}", "FROM \"q\"\"t\", {it}",
)  # fmt: skip


@pytest.mark.parametrize("opening", [Store.open, Store.open_to_read])
def test_a_file_is_not_read_as_bytes_beside_a_table_of_one_s_own(tmp_path, sound, opening):
    file = tmp_path / "a b.duckdb"
    shutil.copyfile(sound, file)
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 7 AS a, 'x'::ENUM ('x') AS e")
        connection.execute('CREATE TABLE "q""t" ("b""c" INTEGER)')
        connection.execute("CREATE SCHEMA s; CREATE TABLE s.runs AS SELECT 8 AS a")
        connection.execute("CREATE OR REPLACE VIEW behaviour AS SELECT 1")
    it = f"read_blob('{file}')"
    with opening(file) as store:
        for query in BYTES:
            # A file that is open to write has its own views back, and no others beside them.
            wrong = opening == Store.open and "temp." in query
            said = "does not exist" if wrong else "only the results file is read"
            with pytest.raises(InputError, match=said):
                store.ask(query.format(it=it, quoted=it.replace("'", "''")))
        for sql in ("SELECT a FROM mine WHERE e = 'x'", 'SELECT 7 AS a FROM "a b".main.mine'):
            assert store.ask(sql).to_pylist() == [{"a": 7}]
        assert store.ask("SELECT a FROM s.runs").to_pylist() == [{"a": 8}]


FORBIDDEN = (
    "FROM read_text('{secret}')", "COPY (SELECT 1) TO '{made}'", "ATTACH '{made}'", "FROM glob('{folder}/*')",
    "SET memory_limit = '1 GB'", "SET log_query_path = '{made}'", "PRAGMA enable_profiling", "SET profiling_output = '{made}'",
    "FROM enable_logging(storage := 'file', storage_config := {{'path': '{made}'}})", "EXPORT DATABASE '{made}'",
    "INSTALL httpfs", "LOAD '{made}'", "RESET lock_configuration", "SET allowed_configs = ['memory_limit']",
    "FROM a_python_variable", "CREATE PERSISTENT SECRET (TYPE s3)",
)  # fmt: skip


@pytest.mark.parametrize("where", ["new", "read", "memory"])
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_no_connection_reads_writes_or_loads_anything_else(tmp_path, statement, where):
    """As its configuration is locked before the first statement: not one that is set afterwards."""
    a_python_variable = pa.table({"a": [SECRET]})
    secret, made = tmp_path / "secret.txt", tmp_path / "made.txt"
    secret.write_text(SECRET)
    file = tmp_path / "f.duckdb"
    connect(file).close()
    connection = {"new": lambda: connect(tmp_path / "g.duckdb"), "read": lambda: connect(file, read_only=True),
                  "memory": connect}[where]()  # fmt: skip
    with connection, pytest.raises(duckdb.Error):
        connection.execute(statement.format(secret=secret, made=made, folder=tmp_path)).fetchall()
    assert not made.exists()
    assert a_python_variable


def test_a_locked_connection_does_all_that_a_run_needs(tmp_path):
    """It writes, registers Arrow tables, checkpoints, and knows where to put what does not fit into memory."""
    with connect(tmp_path / "f.duckdb") as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        connection.register("incoming", pa.table({"a": [1, 2]}))
        connection.execute("CREATE TABLE t AS FROM incoming")
        connection.unregister("incoming")
        connection.execute("CHECKPOINT")
        (spilled,) = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0]
        assert spilled == f"{tmp_path / 'f.duckdb'}.tmp"
    with connect(tmp_path / "f.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT sum(a) FROM t").fetchall() == [(3,)]


def test_our_macros_have_names_of_their_own():
    """A macro of the file that has the name of ours is replaced; one of DuckDB's must not be among them."""
    with connect() as connection:
        rows = connection.execute(
            "SELECT function_name FROM system.main.duckdb_functions() WHERE internal"
        )
        internal = {name for (name,) in rows.fetchall()}
    ours = catalog.our_catalog()
    assert ours.macros
    assert not ours.macros.keys() & internal
    assert {kind.table for kind in TABLES} < ours.tables.keys()


def connections(source):
    """Where a source makes a connection of its own: `duckdb.connect`, `sql`, `query`, or a name of them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "duckdb":
            yield node.lineno
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "duckdb"
        ):
            if node.attr[0].islower():
                yield node.lineno
        elif isinstance(node, ast.Import):
            yield from (
                node.lineno for one in node.names if one.name.startswith("duckdb") and one.asname
            )


def test_every_connection_is_made_in_one_place():
    assert list(connections("import duckdb\nduckdb.connect()\nduckdb.sql('')")) == [2, 3]
    assert list(connections("import duckdb as d\nfrom duckdb import connect")) == [1, 2]
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("harness", "benchmarks", "data", "fixtures", "docs")
        for path in (ROOT / folder).rglob("*.py")
        for _ in connections(path.read_text(encoding="utf-8"))
    ]
    assert found == ["harness/store/database_file.py"]


def test_who_holds_a_file_is_named_without_the_words_of_its_command(tmp_path):
    """They may hold a password."""
    from harness.store.errors import holder_of

    error = duckdb.IOException(
        f'IO Error: Could not set lock on file "{tmp_path}": Conflicting lock is held in '
        f"/usr/bin/python3.11 (PID {os.getpid()}) by user root. See also"
    )
    assert holder_of(error) == f"process {os.getpid()} by user root (python3.11)"
