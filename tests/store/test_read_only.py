"""Whatever is asked, nothing is written and nothing else is looked at."""

import hashlib
import json
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.helpers.cli import invoke

HOSTILE = """
DELETE FROM runs
UPDATE runs SET status = 'x'
INSERT INTO runs FROM runs
MERGE INTO runs USING runs r ON true WHEN MATCHED THEN DELETE
TRUNCATE runs
DROP TABLE runs
ALTER TABLE runs ADD COLUMN x INT
CREATE TABLE x (a INT)
CREATE TEMP TABLE x AS SELECT 1
CREATE OR REPLACE VIEW behaviour AS SELECT 1
CREATE MACRO f(a) AS a
CREATE SECRET s (TYPE s3)
CREATE SCHEMA z
COMMENT ON TABLE runs IS 'x'
WITH d AS (DELETE FROM runs RETURNING *) FROM d
EXPLAIN ANALYZE DELETE FROM runs
EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1
EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/out.csv'
EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/r.duckdb' (FORMAT csv, USE_TMP_FILE false)
EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/r.duckdb.wal' (FORMAT csv, HEADER false)
EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'FOLDER/r.duckdb.wal' (FORMAT csv)
EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO 'FOLDER/r.duckdb' (FORMAT csv)
explain/**/analyze COPY (SELECT 1) TO 'FOLDER/r.duckdb' (FORMAT csv, USE_TMP_FILE false)
/* x */ EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/r.duckdb' (FORMAT csv, USE_TMP_FILE false)
EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/r.duckdb' (FORMAT csv, USE_TMP_FILE false)
COPY (SELECT 1) TO 'FOLDER/r.duckdb' (FORMAT csv, USE_TMP_FILE false)
COPY (SELECT 1) TO 'FOLDER/r.duckdb.wal' (FORMAT csv)
COPY runs TO 'FOLDER/out.csv'
COPY (SELECT 1) TO 'FOLDER/out.parquet'
COPY runs FROM 'FOLDER/secret.csv'
EXPORT DATABASE 'FOLDER/out'
IMPORT DATABASE 'FOLDER/out'
ATTACH 'FOLDER/other.duckdb'
DETACH r
USE memory
INSTALL httpfs
LOAD httpfs
EXPLAIN ANALYZE LOAD httpfs
SET enable_external_access = true
SET threads = 1
EXPLAIN ANALYZE SET threads = 1
SET VARIABLE x = 1
RESET threads
PRAGMA database_list
PRAGMA enable_profiling
CALL pragma_version()
CALL enable_logging()
FROM enable_logging()
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
CHECKPOINT
FORCE CHECKPOINT
VACUUM
ANALYZE
BEGIN
FROM read_text('FOLDER/secret.csv')
FROM read_blob('FOLDER/secret.csv')
FROM read_csv('FOLDER/secret.csv')
FROM read_csv_auto('FOLDER/secret.csv')
FROM read_json('FOLDER/secret.csv')
FROM read_parquet('FOLDER/secret.parquet')
FROM parquet_schema('FOLDER/secret.parquet')
FROM sniff_csv('FOLDER/secret.csv')
FROM read_duckdb('FOLDER/other.duckdb', table_name = 't')
FROM glob('FOLDER/*')
FROM 'FOLDER/secret.csv'
FROM 'FOLDER/secret.parquet'
FROM query_table('FOLDER/secret.csv')
FROM query('DELETE FROM runs')
FROM read_blob('FOLDER/r.duckdb')
FROM read_text('FOLDER/r.duckdb.wal')
FROM read_csv('FOLDER/r.duckdb', sep = '|', quote = '')
FROM read_duckdb('FOLDER/r.duckdb', table_name = 'runs')
FROM 'FOLDER/r.duckdb'
FROM query('FROM read_blob(''FOLDER/r.duckdb'')')
SUMMARIZE FROM read_blob('FOLDER/r.duckdb')
EXPLAIN ANALYZE FROM read_blob('FOLDER/r.duckdb')
PIVOT read_blob('FOLDER/r.duckdb') ON filename USING max(size)
WITH x AS (FROM read_blob('FOLDER/' || 'r.duckdb')) SELECT (SELECT size FROM x)
FROM a_frame
SELECT getenv('HOME')
SELECT 1; DROP TABLE runs
SELECT 1; SELECT 2
""".strip().splitlines()


@pytest.fixture(scope="module")
def guarded(three_runs, tmp_path_factory):
    """A results file beside files that a query might read, and what lies in the folder."""
    folder = tmp_path_factory.mktemp("guarded")
    db = Path(shutil.copy(three_runs[0], folder / "r.duckdb"))
    (folder / "secret.csv").write_text("a\nhidden\n")
    with duckdb.connect(str(folder / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'hidden' AS a")
        connection.execute(f"COPY t TO '{folder / 'secret.parquet'}'")
    return db, {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}


@pytest.mark.parametrize("more", [[], ["--snapshot"]], ids=["plain", "snapshot"])
@pytest.mark.parametrize("statement", HOSTILE)
def test_nothing_that_is_asked_writes_or_looks_around(guarded, statement, more):
    import pandas

    a_frame = pandas.DataFrame({"a": ["hidden"]})
    db, before = guarded
    found = invoke("sql", statement.replace("FOLDER", str(db.parent)), "--db", db, *more)
    assert isinstance(found.exception, SystemExit), found.exception or found.output
    assert found.exit_code == 2
    assert len(a_frame) == 1
    assert "hidden" not in found.output
    assert found.stdout == ""
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert {
        path: hashlib.sha256(path.read_bytes()).digest() for path in db.parent.iterdir()
    } == before


@pytest.mark.parametrize("name", ["statements", "kinds", "sql"])
def test_a_variable_of_the_program_is_no_table(three_runs, name):
    assert (
        f"Table with name {name} does not exist"
        in invoke("sql", f"FROM {name}", "--db", three_runs[0]).stderr
    )


@pytest.mark.parametrize("statement", ["SHOW TABLES", "DESCRIBE runs", "SUMMARIZE runs", "EXPLAIN FROM runs", "PIVOT runs ON status USING count(*)", "FROM runs;"])  # fmt: skip
def test_what_only_asks_is_answered(three_runs, statement):
    found = invoke("sql", statement, "--format", "json", "--db", three_runs[0])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)
