"""Saved queries, views and macros on a real run: against brute force, in every format, only read."""

import ast
import csv
import hashlib
import io
import json
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from harness.errors import InputError
from harness.store.database import Store
from harness.store.find_run import find_run
from harness.store.queries import find_query, saved_queries
from harness.store.tables import TABLES
from tests.test_export import a_run, a_spec, call, query, rows_of

NAMES = [kind.table for kind in TABLES]
SAVED = tuple(saved_queries())


@pytest.fixture(scope="module")
def stored(tmp_path_factory, root):
    """A small run, the same one again as `twin`, and a third as `odd` with some rows changed."""
    folder = tmp_path_factory.mktemp("queries")
    db = folder / "r.duckdb"
    run_id = a_run(a_spec(folder, root), db)
    with duckdb.connect(str(db)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for copy in ("twin", "odd"):
            for name in NAMES:
                more = ", replace(query, run_id, $copy) AS query" if name == "verdicts" else ""
                values = {"copy": copy, "r": run_id}
                if name == "runs":
                    later = {"twin": 1, "odd": 2}[copy]
                    more = f", created_at + INTERVAL {later} HOUR AS created_at, $copy AS spec_name"
                connection.execute(
                    f"INSERT INTO {name} SELECT * REPLACE ($copy AS run_id{more}) FROM {name} "
                    "WHERE run_id = $r ORDER BY random()",
                    values,
                )
        families = [
            family
            for (family,) in connection.execute(
                "SELECT DISTINCT family FROM prompts ORDER BY family"
            ).fetchall()
        ]
        of = "prompt_id IN (SELECT prompt_id FROM prompts WHERE family = '{}' {})"
        for sql in (
            # One family does not move, another moves the other way.
            f"UPDATE answers SET logprob = -1 WHERE run_id = 'odd' AND {of.format(families[0], '')}",
            f"UPDATE answers SET logprob = -40 WHERE run_id = 'odd' AND candidate = 'correct' "
            f"AND {of.format(families[1], 'AND label = ' + repr('correct'))}",
            "DELETE FROM prompt_tags WHERE run_id = 'odd' AND tag = 'quantity'",
            "UPDATE runs SET exploratory = 'why' WHERE run_id = 'odd'",
        ):
            connection.execute(sql)
    return db, run_id, families


@pytest.fixture(scope="module")
def tables(stored):
    """Every table's rows as dictionaries, of the base tables alone."""
    with Store.open_to_read(stored[0]) as store:
        found = {}
        for name in NAMES:
            columns, rows = store.query(f"FROM {name}")
            found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def of(rows, **equal):
    return [row for row in rows if all(row[key] == value for key, value in equal.items())]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def asked(db, sql, **values):
    """A query's rows as dictionaries."""
    with Store.open_to_read(db) as store:
        names, rows = store.query(sql, values)
    return [dict(zip(names, row, strict=True)) for row in rows]


# --- what they say of themselves


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_query_says_what_it_answers_and_what_it_is_asked_with(name, root):
    text = (root / "db" / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    saved = saved_queries()[name]
    assert saved.about.endswith((".", "?"))
    assert len(saved.about) > 15
    assert "$" not in saved.about
    assert "--" not in saved.sql
    used = re.findall(r"\$(\w+)", saved.sql)
    assert set(used) == {one.name for one in saved.parameters}
    assert len(saved.parameters) == text.count("-- $")
    assert all(one.meaning for one in saved.parameters)


def test_the_list_shows_every_query_with_its_parameters():
    said = call("sql", "--list").output
    for name, saved in saved_queries().items():
        assert f"{name}\n    {saved.about}\n" in said
        for one in saved.parameters:
            assert one.meaning in said
    assert "--run-a" in said
    assert "--set layer=" in said
    assert "(default: latest)" in said


def values_of(tables, run_id):
    """Every value that the parameters of the saved queries may have on a run."""
    traced = {
        (row["layer"], row["feature"]) for row in of(tables["token_activations"], run_id=run_id)
    }
    tested = of(tables["feature_tests"], run_id=run_id, split="confirmation")
    tested = [row for row in tested if (row["layer"], row["feature"]) in traced][:2]
    return {
        "run": [run_id, run_id[:12], "few", "latest"],
        "run_a": [run_id],
        "run_b": ["odd"],
        "claim": [row["claim"] for row in of(tables["verdicts"], run_id=run_id)],
        "layer": [row["layer"] for row in tested],
        "feature": [row["feature"] for row in tested],
        "ablation": ["%", "top", "o%"],
        "limit": [1, 3],
        "prompts": [1, 3],
        "around": [0, 24],
    }


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_query_runs_with_all_of_its_parameters_and_finds_rows(stored, tables, name):
    db, run_id, _ = stored
    known = values_of(tables, run_id)
    saved = saved_queries()[name]
    most = max((len(known[one.name]) for one in saved.parameters), default=1)
    for i in range(most):
        arguments = ["sql", name, "--format", "json", "--db", db]
        for one in saved.parameters:
            value = known[one.name][i % len(known[one.name])]
            option = f"--{one.name.replace('_', '-')}"
            arguments += [option, value] if one.name.startswith("run") else ["--set", f"{one.name}={value}"]  # fmt: skip
        found = call(*arguments)
        assert found.exit_code == 0, found.output
        rows = json.loads(found.stdout)
        assert rows or name == "families_that_disagree"
        if "limit" in {one.name for one in saved.parameters}:
            assert len(rows) == known["limit"][i % 2]
    missing = [one.name for one in saved.parameters if one.default is None]
    found = call("sql", name, "--run", "few", "--db", db) if missing else None
    if found is not None:
        assert found.exit_code == 2
        for one in set(missing) - {"run"}:
            assert f"'{one}' is missing: " in found.stderr


def test_families_that_disagree_are_found_where_there_are_some(stored):
    db, _, families = stored
    found = json.loads(
        call("sql", "families_that_disagree", "--run", "odd", "--format", "json", "--db", db).stdout
    )
    assert [row["family"] for row in found] == [families[1]]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["top_featurs"], "top_featurs: there is no such saved query; did you mean 'top_features'?"),
        (["runs", "--set", "limit=3"], "query runs: it has no parameter 'limit'"),
        (["top_features", "--set", "limt=3"], "it has no parameter 'limt'; did you mean 'limit'?"),
        (["evidence"], "'claim' is missing: the claim's name in the spec; add --set claim=..."),
        (["differences"], "'run_a' is missing: the one; add --run-a ID"),
        (["top_features", "--set", "limit"], "--set limit: it has no value"),
        (["FROM runs", "--set", "x=1"], "it has no parameter $x"),
        (["FROM runs WHERE run_id = $rum", "--set", "run=1"], "it has no parameter $run"),
        (["FROM runz"], "did you mean \"runs\"?"),
        (["SELECT targt FROM runs"], "\"targt\" not found"),
        (["SELEC 1"], "syntax error"),
        (["SELECT TIMESTAMP '290000-01-01'"], "a value that cannot be shown"),
        (["SELECT 'infinity'::DATE"], "a value that cannot be shown"),
        (["evidence", "--run", "few", "--set", "claim=movd"], "has no claim 'movd'; did you mean 'moved'?"),
        (["top_features", "--set", "limit=-1"], "--set limit=-1: it is no whole number"),
        (["FROM read_csv('x.csv')"], "it would read other files or load extensions"),
        ([""], "no query is given"),
        (["top_features", "--run", "nowhere"], "run nowhere: there is no such run"),
        (["runs", "--format", "parquet"], "--format parquet: it is no text; name a file with --output"),
        (["pairs_of_feature", "--run", "few", "--set", "layer=x", "--set", "feature=0"], "--set layer=x: it is no whole number"),
    ],
)  # fmt: skip
def test_wrong_questions_are_answered_in_a_sentence(stored, arguments, said):
    found = call("sql", *arguments, "--db", stored[0])
    assert isinstance(found.exception, SystemExit), found.exception
    assert found.exit_code == 2
    assert said in found.stderr
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1


def test_a_name_is_a_query_and_anything_else_is_sql():
    assert find_query(" verdicts ").name == "verdicts"
    assert find_query("FROM verdicts") is None
    with pytest.raises(InputError, match="no such saved query"):
        find_query("verdict5s")


def test_a_query_without_rows_says_so_beside_its_empty_table(stored):
    call_ = ["pairs_of_feature", "--run", "few", "--set", "layer=99", "--set", "feature=1"]
    found = call("sql", *call_, "--format", "csv", "--db", stored[0])
    assert found.exit_code == 0
    assert found.stderr == "no rows: pairs_of_feature of run few, layer 99, feature 1\n"
    assert found.stdout.startswith("family,pair_id,")


def test_the_results_file_is_no_place_for_a_query_s_rows(stored, tmp_path):
    db = Path(shutil.copy(stored[0], tmp_path / "r.duckdb"))
    before = db.read_bytes()
    found = call("sql", "runs", "--format", "csv", "--output", db, "--db", db)
    assert found.exit_code == 2
    assert "it is the results file" in found.stderr
    assert db.read_bytes() == before


def test_names_that_look_like_numbers_stay_names(stored, tmp_path):
    db = Path(shutil.copy(stored[0], tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE interventions SET ablation = '10'")
    call_ = ("sql", "impact_by_family", "--run", "few", "--set", "ablation=10", "--format", "json")
    rows = json.loads(call(*call_, "--db", db).stdout)
    assert {row["ablation"] for row in rows} == {"10"}


def test_a_mock_hides_no_verdict_and_is_no_specs_run(stored, tmp_path):
    """Its run is the newest, and of the same spec and target."""
    db, run_id, _ = stored
    db = Path(shutil.copy(db, tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        for name in ("runs", "verdicts"):
            later = ", finished_at + INTERVAL 9 HOUR AS finished_at" if name == "runs" else ""
            connection.execute(
                f"INSERT INTO {name} SELECT * REPLACE ('m' AS run_id, 'mock' AS origin{later}) "
                f"FROM {name} WHERE run_id = $r",
                {"r": run_id},
            )
    found = asked(db, "SELECT DISTINCT run_id FROM latest_verdicts WHERE spec_name = 'few'")
    assert {row["run_id"] for row in found} == {run_id, "m"}
    assert meant(db, "few") == run_id
    assert meant(db, "latest") == "m"


def test_older_command_lines_can_read_a_new_file(tmp_path):
    with Store.open(tmp_path / "r.duckdb"):
        pass
    header = (tmp_path / "r.duckdb").read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") <= 67  # DuckDB 1.4's storage


def test_ones_own_sql_takes_parameters_too(stored):
    db, run_id, _ = stored
    sql = "SELECT run_id, $layer + 1 AS n, $word AS w FROM runs WHERE run_id = $run"
    found = call("sql", sql, "--set", "layer=3", "--set", "word=three", "--run", "few", "--format", "json", "--db", db)  # fmt: skip
    assert json.loads(found.stdout) == [{"run_id": run_id, "n": 4, "w": "three"}]


# --- formats

MIXED = """
    SELECT * FROM (VALUES
        (1, 0.1::DOUBLE, 'a|b', true, [1, 2], TIMESTAMP '2026-01-02 03:04:05', 3::HUGEINT),
        (-2, NULL, 'two' || chr(10) || 'lines, "quoted"', false, [], NULL, 4),
        (NULL, 1e-9, '', NULL, NULL, TIMESTAMP '2026-01-02 03:04:05.5', 5)
    ) AS t(n, x, s, b, l, moment, h)
"""


def by_format(db, query_, tmp_path):
    """The same query in each format: names and rows of strings, or of values."""
    text = {
        shape: call("sql", *query_, "--format", shape, "--db", db).stdout
        for shape in ("csv", "json", "markdown")
    }
    path = tmp_path / "out.parquet"
    found = call("sql", *query_, "--format", "parquet", "--output", path, "--db", db)
    assert (found.exit_code, found.output) == (0, "")
    return text, pq.read_table(path).to_pylist()


def as_text(value):
    """A value as CSV has it."""
    if value is None:
        return ""
    return value.isoformat(sep=" ") if hasattr(value, "isoformat") else str(value)


@pytest.mark.parametrize(
    "query_",
    [
        ("top_features", "--run", "few", "--set", "limit=7"),
        ("verdicts", "--run", "odd"),
        ("stages", "--run", "few"),
        ("FROM runs",),
        ("SELECT sum(layer) AS whole, sum(layer) / 3 AS part FROM feature_tests",),
        (MIXED,),
        ("FROM runs WHERE false",),
    ],
    ids=lambda query_: query_[0].split()[0] + query_[0].split()[-1],
)
def test_every_format_says_the_same(stored, tmp_path, query_):
    text, rows = by_format(stored[0], query_, tmp_path)
    names = pq.read_table(tmp_path / "out.parquet").column_names
    header, *lines = csv.reader(io.StringIO(text["csv"]))
    assert header == names
    objects = json.loads(text["json"])
    top, rule, *cells = text["markdown"].splitlines()
    assert top == "| " + " | ".join(names) + " |"
    assert set(rule) <= set("|- :")
    assert len(lines) == len(objects) == len(cells) == len(rows)
    for row, line, object_, cell in zip(rows, lines, objects, cells, strict=True):
        plain = [int(v) if type(v).__name__ == "Decimal" and v == int(v) else v for v in row.values()]  # fmt: skip
        assert line == [as_text(value) for value in plain]
        assert list(object_) == names
        for value, told in zip(plain, object_.values(), strict=True):
            assert told == (as_text(value) if hasattr(value, "isoformat") else value)
        shown = [part.strip() for part in re.split(r"(?<!\\)\|", cell)[1:-1]]
        assert len(shown) == len(names)
        for value, part in zip(plain, shown, strict=True):
            if isinstance(value, float):
                assert float(part) == pytest.approx(value, rel=1e-4)
            else:
                assert part.replace("\\|", "|") == as_text(value).replace("\n", " ")


@pytest.mark.parametrize("shape", ["table", "csv", "json", "markdown"])
def test_a_file_holds_what_the_terminal_shows(stored, tmp_path, shape):
    path = tmp_path / "out"
    call("sql", "verdicts", "--run", "few", "--format", shape, "--output", path, "--db", stored[0])
    there = "markdown" if shape == "table" else shape
    said = call("sql", "verdicts", "--run", "few", "--format", there, "--db", stored[0]).stdout
    assert path.read_text() == said


@pytest.mark.parametrize("value", ["'nan'::DOUBLE", "'-inf'::DOUBLE", "['nan'::DOUBLE, 1]", "{'a': 'inf'::DOUBLE}"])  # fmt: skip
def test_json_has_null_for_what_is_not_finite(stored, value):
    found = call("sql", f"SELECT {value} AS x", "--format", "json", "--db", stored[0])
    assert found.exit_code == 0, found.exception
    (row,) = json.loads(found.stdout)
    assert row["x"] in (None, [None, 1], {"a": None})


def test_lists_are_lists_in_every_format(stored, tmp_path):
    text, rows = by_format(stored[0], ("SELECT layers, sae_files FROM runs",), tmp_path)
    _, line, *_ = csv.reader(io.StringIO(text["csv"]))
    assert [ast.literal_eval(part) for part in line] == list(rows[0].values())
    assert json.loads(text["json"])[0] == rows[0]


# --- which run is meant


@pytest.fixture(scope="module")
def many(stored, tmp_path_factory):
    """Runs of many names: finished at different times, unfinished, one name the start of another."""
    db = Path(shutil.copy(stored[0], tmp_path_factory.mktemp("many") / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for run_id, spec, status, hour in (
            ("20260101-a", "early", "finished", 1),
            ("20260101-ab", "early", "finished", 3),
            ("20260101-c", "early", "finished", 2),
            ("20260202-x", "half", "unfinished", None),
            ("20260303-y", "last", "finished", 23),
        ):
            finished = "NULL" if hour is None else f"TIMESTAMPTZ '2099-01-01 {hour:02}:00:00Z'"
            connection.execute(
                "INSERT INTO runs SELECT * REPLACE ($i AS run_id, $s AS spec_name, $t AS status, "
                f"{finished} AS finished_at) FROM runs WHERE run_id = 'twin'",
                {"i": run_id, "s": spec, "t": status},
            )
    return db


def meant(db, name):
    with Store.open_to_read(db) as store:
        return find_run(store, name)["run_id"]


@pytest.mark.parametrize(
    "name, run_id",
    [
        ("20260101-ab", "20260101-ab"),
        ("20260101-a", "20260101-a"),  # exact, and the start of another
        ("20260101-c", "20260101-c"),
        ("20260202", "20260202-x"),  # unfinished, but named
        ("202603", "20260303-y"),
        ("early", "20260101-ab"),  # the last that finished, not the last id
        ("last", "20260303-y"),
        ("latest", "20260303-y"),
        ("twin", "twin"),
    ],
)
def test_a_run_is_meant_by_id_beginning_spec_or_latest(many, name, run_id):
    assert meant(many, name) == run_id


@pytest.mark.parametrize(
    "name, said",
    [
        (
            "20260101",
            "run 20260101: 3 runs begin so; name one: 20260101-a, 20260101-ab, 20260101-c",
        ),
        ("none", "run none: there is no such run; `harness sql runs` lists them"),
        ("", "there is no such run"),
        ("half", "spec half: none of its runs is finished"),  # none of it is finished
    ],
)
def test_what_means_no_run_or_several_is_refused(many, name, said):
    with pytest.raises(InputError) as refused:
        meant(many, name)
    assert said in str(refused.value)


def test_latest_needs_a_finished_run(tmp_path, many):
    with Store.open(tmp_path / "none.duckdb") as store, pytest.raises(InputError, match="none yet"):
        find_run(store, "latest")
    db = Path(shutil.copy(many, tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET status = 'unfinished'")
    with pytest.raises(InputError, match="none is finished"):
        meant(db, "latest")


# --- only reading

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
FROM a_frame
SELECT getenv('HOME')
SELECT 1; DROP TABLE runs
SELECT 1; SELECT 2
""".strip().splitlines()


@pytest.fixture(scope="module")
def guarded(stored, tmp_path_factory):
    """A results file beside files that a query might read, and what lies in the folder."""
    folder = tmp_path_factory.mktemp("guarded")
    db = Path(shutil.copy(stored[0], folder / "r.duckdb"))
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
    found = call("sql", statement.replace("FOLDER", str(db.parent)), "--db", db, *more)
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
def test_a_variable_of_the_program_is_no_table(stored, name):
    assert (
        f"Table with name {name} does not exist"
        in call("sql", f"FROM {name}", "--db", stored[0]).stderr
    )


@pytest.mark.parametrize("statement", ["SHOW TABLES", "DESCRIBE runs", "SUMMARIZE runs", "EXPLAIN FROM runs", "PIVOT runs ON status USING count(*)", "FROM runs;"])  # fmt: skip
def test_what_only_asks_is_answered(stored, statement):
    found = call("sql", statement, "--format", "json", "--db", stored[0])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)


# --- views and macros, against brute force


def preferences(tables, run_id):
    """Each prompt's line, with log p of both answers."""
    found = {row["prompt_id"]: row | {"c": 0.0, "m": 0.0} for row in of(tables["prompts"], run_id=run_id)}  # fmt: skip
    for row in of(tables["answers"], run_id=run_id):
        found[row["prompt_id"]][row["candidate"][0]] += row["logprob"]
    return found


@pytest.mark.parametrize("which", ["few", "odd"])
def test_family_contrasts_are_the_means_of_each_familys_variants(stored, tables, which):
    db, run_id, families = stored
    run_id = run_id if which == "few" else which
    known = preferences(tables, run_id)
    by_family = defaultdict(lambda: defaultdict(list))
    for row in known.values():
        by_family[row["family"], row["split"]][row["label"]].append(row["c"] - row["m"])
    gaps = {key: mean(v["correct"]) - mean(v["misconception"]) for key, v in by_family.items()}
    overall = mean(gaps.values())
    found = asked(db, "FROM family_contrasts WHERE run_id = $r", r=run_id)
    assert {(row["family"], row["split"]) for row in found} == set(gaps)
    assert len(found) == len(families)
    for row in found:
        key = (row["family"], row["split"])
        sides = by_family[key]
        assert row["n_pairs"] == len(sides["correct"]) == len(sides["misconception"])
        assert row["after_correct"] == pytest.approx(mean(sides["correct"]))
        assert row["after_misconception"] == pytest.approx(mean(sides["misconception"]))
        assert row["difference"] == pytest.approx(gaps[key], abs=1e-9)
        still = which == "odd" and row["family"] == families[0]
        assert row["agrees"] == (None if still else gaps[key] * overall > 0)
    if which == "odd":
        assert Counter(row["agrees"] for row in found) == {True: len(families) - 2, False: 1, None: 1}  # fmt: skip


def test_claims_stand_beside_their_verdicts(stored, tables):
    db, run_id, _ = stored
    (run,) = of(tables["runs"], run_id=run_id)
    claims = {one["name"]: one for one in json.loads(run["spec"])["claims"]}
    found = asked(db, "FROM claims WHERE run_id = $r", r=run_id)
    assert {row["claim"] for row in found} == set(claims)
    assert len(found) == len(claims) == 3
    told = ("verdict", "estimate", "ci_low", "ci_high", "unit", "p", "because", "kind", "origin")
    for row in found:
        claim = claims[row["claim"]]
        (verdict,) = of(tables["verdicts"], run_id=run_id, claim=row["claim"])
        assert [row[name] for name in told] == [verdict[name] for name in told]
        assert row["about"] == (claim.get("behaviour") or claim.get("features") or claim.get("ablation"))  # fmt: skip
        for name in ("direction", "beyond", "than", "within", "at_least", "at_most"):
            assert row[name] == claim.get(name), name
        assert row["contrast"] == bool(claim.get("contrast"))
        assert (row["spec_name"], row["target"]) == ("few", "organism")
    assert {row["contrast"] for row in found} == {True, False}
    assert {row["about"] for row in found} == {"logit_difference", "significant", "top"}


def features(tables, run_id):
    found = defaultdict(dict)
    for row in of(tables["activations"], run_id=run_id):
        found[row["layer"], row["feature"]][row["prompt_id"]] = row["value"]
    return found


def test_pairs_of_a_feature_have_its_value_on_both_variants(stored, tables):
    db, run_id, _ = stored
    known = features(tables, run_id)
    prompts = of(tables["prompts"], run_id=run_id)
    sizes = sorted(known, key=lambda key: (len(known[key]), key))
    for key in (sizes[0], sizes[len(sizes) // 2], sizes[-1], (1, 10**6)):
        values = known.get(key, {})
        expected = defaultdict(dict)
        for row in prompts:
            pair = (row["pair_id"], row["family"], row["split"])
            expected[pair][row["label"]] = values.get(row["prompt_id"], 0.0)
        found = asked(db, "FROM pairs_of_feature($r, $l, $f)", r=run_id, l=key[0], f=key[1])
        assert {
            (row["pair_id"], row["family"], row["split"]): (row["after_correct"], row["after_misconception"])
            for row in found
        } == {pair: (sides["correct"], sides["misconception"]) for pair, sides in expected.items()}  # fmt: skip
        assert len(found) == len(expected)
        gaps = [row["difference"] for row in found]
        assert gaps == pytest.approx(
            [row["after_correct"] - row["after_misconception"] for row in found], abs=1e-4
        )  # stored in single precision
        assert gaps == sorted(gaps, reverse=True)
        assert {row["origin"] for row in found} == {"stand-in"}
    assert asked(db, "FROM pairs_of_feature($r, 2, 0)", r=run_id) == []  # a layer that was not read


def test_the_evidence_of_a_claim_is_what_it_rests_on(stored, tables):
    db, run_id, _ = stored
    known = preferences(tables, run_id)
    concluding = {p for p, row in known.items() if row["split"] == "confirmation"}
    found = asked(db, "FROM evidence($r, 'moved')", r=run_id)
    assert {row["prompt_id"]: row["value"] for row in found} == {
        p: pytest.approx(known[p]["c"] - known[p]["m"]) for p in concluding
    }
    assert len(found) == len(concluding)
    assert {(row["source"], row["quantity"], row["beside"]) for row in found} == {("behaviour", "logit_difference", None)}  # fmt: skip
    (verdict,) = of(tables["verdicts"], run_id=run_id, claim="moved")
    after = [mean(r["value"] for r in found if known[r["prompt_id"]]["label"] == label) for label in ("correct", "misconception")]  # fmt: skip
    assert verdict["estimate"] == pytest.approx(after[0] - after[1])

    found = asked(db, "FROM evidence($r, 'any')", r=run_id)
    tests = of(tables["feature_tests"], run_id=run_id, split="confirmation")
    assert Counter((r["layer"], r["feature"], r["value"], r["beside"]) for r in found) == Counter(
        (t["layer"], t["feature"], t["mean_difference"], t["p_adjusted"]) for t in tests
    )
    (verdict,) = of(tables["verdicts"], run_id=run_id, claim="any")
    assert verdict["estimate"] == sum(row["beside"] <= verdict["alpha"] for row in found)

    found = asked(db, "FROM evidence($r, 'matters')", r=run_id)
    roles = {row["intervention_id"]: row["role"] for row in of(tables["interventions"], run_id=run_id, ablation="top")}  # fmt: skip
    (run,) = of(tables["runs"], run_id=run_id)
    impacts = [row for row in of(tables["impacts"], run_id=run_id, metric=run["metric"]) if row["intervention_id"] in roles]  # fmt: skip
    target = {row["prompt_id"]: row["impact"] for row in impacts if roles[row["intervention_id"]] == "target"}  # fmt: skip
    controls = defaultdict(list)
    for row in impacts:
        if roles[row["intervention_id"]] == "control":
            controls[row["prompt_id"]].append(row["impact"])
    assert len(found) == len(target) > 0
    for row in found:
        assert row["value"] == target[row["prompt_id"]]
        assert len(controls[row["prompt_id"]]) == 2
        assert row["beside"] == pytest.approx(mean(controls[row["prompt_id"]]), abs=1e-12)
        assert row["family"] == known[row["prompt_id"]]["family"]
    (test,) = of(tables["ablation_tests"], run_id=run_id, ablation="top", role="target", metric=run["metric"])  # fmt: skip
    assert test["beyond_controls"] == pytest.approx(mean(r["value"] - r["beside"] for r in found))
    assert asked(db, "FROM evidence($r, 'nothing')", r=run_id) == []


def test_calibration_counts_the_tests_below_each_level(stored, tables):
    db, run_id, _ = stored
    tests = of(tables["feature_tests"], run_id=run_id, split="confirmation")
    ps = [row["p_marginal"] for row in tests if row["p_marginal"] is not None]
    assert len(set(ps)) > 1
    found = asked(db, "FROM calibration($r)", r=run_id)
    assert [row["level"] for row in found] == [0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1]
    for row in found:
        assert row["features"] == len(ps)
        assert row["below"] == sum(p <= row["level"] for p in ps)
        assert row["share"] == pytest.approx(row["below"] / len(ps))
        assert row["smallest_adjusted"] == min(row["p_adjusted"] for row in tests)
    assert found[-1]["share"] == 1


def test_a_features_history_is_every_run_that_tested_it_the_newest_first(stored, tables):
    db, run_id, _ = stored
    test = max(of(tables["feature_tests"], run_id=run_id, split="confirmation"), key=lambda row: row["mean_difference"])  # fmt: skip
    key = {"layer": test["layer"], "feature": test["feature"]}
    found = asked(db, "FROM feature_history($layer, $feature)", **key)
    assert [row["run_id"] for row in found] == ["odd", "twin", run_id]
    for row in found:
        for name in ("mean_difference", "ci_low", "ci_high", "d_z", "p_adjusted", "origin"):
            assert row[name] == test[name]
        (run,) = of(tables["runs"], run_id=row["run_id"])
        assert (row["created_at"], row["dtype"]) == (run["created_at"], run["dtype"])
        assert row["sae_hash"] == run["sae_hash"][:12]
        assert row["exploratory"] == (row["run_id"] == "odd")
        assert row["spec_name"] == run["spec_name"]
        (activity,) = of(tables["feature_activity"], run_id=row["run_id"], **key)
        assert row["firing_rate"] == activity["firing_rate"]
    assert asked(db, "FROM feature_history(1, 1000000)") == []


def bags(tables, run_id):
    """Every row of a run without its id and times, table by table."""
    found = {}
    for name in NAMES:
        if name != "runs" and (rows := of(tables[name], run_id=run_id)):
            found[name] = Counter(
                repr([
                    value.replace(run_id, "") if key == "query" else value
                    for key, value in row.items()
                    if key not in ("run_id", "finished_at", "seconds")
                ])
                for row in rows
            )  # fmt: skip
    return found


def test_fingerprints_are_equal_where_the_rows_are_in_whatever_order(stored, tables):
    db, run_id, _ = stored
    found = {
        run: {row["source"]: (row["row_count"], row["digest"]) for row in asked(db, "FROM fingerprints($r)", r=run)}
        for run in (run_id, "twin", "odd")
    }  # fmt: skip
    known = {run: bags(tables, run) for run in found}
    assert found[run_id] == found["twin"]
    for run, tables_ in known.items():
        assert {name: count for name, (count, _) in found[run].items()} == {
            name: rows.total() for name, rows in tables_.items()
        }
    differ = {name for name in known[run_id] if known[run_id][name] != known["odd"][name]}
    assert differ == {"answers", "prompt_tags"}
    assert {name for name in found[run_id] if found[run_id][name] != found["odd"][name]} == differ


def test_differences_count_the_rows_that_the_other_run_has_not(stored, tables):
    db, run_id, _ = stored
    for a, b in ((run_id, "twin"), (run_id, "odd"), ("odd", "twin")):
        first, second = bags(tables, a), bags(tables, b)
        found = asked(db, "FROM differences($a, $b)", a=a, b=b)
        assert {row["source"]: tuple(row.values())[1:] for row in found} == {
            name: (
                first[name].total(), second[name].total(),
                (first[name] - second[name]).total(), (second[name] - first[name]).total(),
            )
            for name in first
        }  # fmt: skip
        changed = {row["source"] for row in found if row["only_a"] or row["only_b"]}
        assert changed == (set() if "odd" not in (a, b) else {"answers", "prompt_tags"})


def test_a_run_compared_with_one_that_is_not_there_has_all_rows_alone(stored, tables):
    db, run_id, _ = stored
    found = asked(db, "FROM differences($a, 'none')", a=run_id)
    assert {row["source"]: (row["only_a"], row["rows_b"]) for row in found} == {
        name: (rows.total(), 0) for name, rows in bags(tables, run_id).items()
    }


def test_the_latest_verdicts_are_of_each_specs_last_finished_run(stored):
    db, run_id, _ = stored
    found = query(db, "SELECT DISTINCT spec_name, run_id FROM latest_verdicts ORDER BY ALL")
    assert found == [("few", run_id), ("odd", "odd"), ("twin", "twin")]
    assert len(rows_of(db, run_id)["verdicts"]) == 3
