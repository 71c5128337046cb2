"""Saved queries, and SQL of one's own: what they say of themselves, what they find, how they are refused."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest

from harness.errors import InputError
from harness.store.queries import find_query, saved_queries
from tests.helpers.cli import invoke
from tests.helpers.store import rows_with

SAVED = tuple(saved_queries())
# Of what none of the runs here asks for, or has.
QUIET = (
    "families_that_disagree",
    "cautions",
    "token_injection",
    "side_effects",
    "decoys",
    "baselines",
    "sufficiency",
    "known_of_set",
    "crossfit",
    "matched_features",
    "transfers",
    "attribution_errors",
)


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
    said = invoke("sql", "--list").output
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
        (row["layer"], row["feature"])
        for row in rows_with(tables["token_activations"], run_id=run_id)
    }
    tested = rows_with(tables["feature_tests"], run_id=run_id, split="confirmation")
    tested = [row for row in tested if (row["layer"], row["feature"]) in traced][:2]
    return {
        "run": [run_id, run_id[:12], "few", "latest"],
        "run_a": [run_id],
        "run_b": ["odd"],
        "claim": [row["claim"] for row in rows_with(tables["verdicts"], run_id=run_id)],
        "layer": [row["layer"] for row in tested],
        "feature": [row["feature"] for row in tested],
        "ablation": ["%", "top", "o%"],
        "set": ["few/top"],
        "limit": [1, 3],
        "least": [0, 0.1],
        "prompts": [1, 3],
        "around": [0, 24],
        "bins": [1, 30],
    }


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_query_runs_with_all_of_its_parameters_and_finds_rows(three_runs, tables, name):
    db, run_id, _ = three_runs
    known = values_of(tables, run_id)
    saved = saved_queries()[name]
    most = max((len(known[one.name]) for one in saved.parameters), default=1)
    for i in range(most):
        arguments = ["sql", name, "--format", "json", "--db", db]
        for one in saved.parameters:
            value = known[one.name][i % len(known[one.name])]
            option = f"--{one.name.replace('_', '-')}"
            arguments += [option, value] if one.name.startswith("run") else ["--set", f"{one.name}={value}"]  # fmt: skip
        found = invoke(*arguments)
        assert found.exit_code == 0, found.output
        rows = json.loads(found.stdout)
        # Which nothing here needs, or has claims for.
        assert rows or name in QUIET
        if "limit" in {one.name for one in saved.parameters}:
            assert len(rows) == known["limit"][i % 2]
    missing = [one.name for one in saved.parameters if one.default is None]
    found = invoke("sql", name, "--run", "few", "--db", db) if missing else None
    if found is not None:
        assert found.exit_code == 2
        for one in set(missing) - {"run"}:
            assert f"'{one}' is missing: " in found.stderr


def test_families_that_disagree_are_found_where_there_are_some(three_runs):
    db, _, families = three_runs
    found = json.loads(
        invoke(
            "sql", "families_that_disagree", "--run", "odd", "--format", "json", "--db", db
        ).stdout
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
def test_wrong_questions_are_answered_in_a_sentence(three_runs, arguments, said):
    found = invoke("sql", *arguments, "--db", three_runs[0])
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


def test_a_query_without_rows_says_so_beside_its_empty_table(three_runs):
    call_ = ["pairs_of_feature", "--run", "few", "--set", "layer=99", "--set", "feature=1"]
    found = invoke("sql", *call_, "--format", "csv", "--db", three_runs[0])
    assert found.exit_code == 0
    assert found.stderr == "no rows: pairs_of_feature of run few, layer 99, feature 1\n"
    assert found.stdout.startswith("family,pair_id,")


def test_the_results_file_is_no_place_for_a_query_s_rows(three_runs, tmp_path):
    db = Path(shutil.copy(three_runs[0], tmp_path / "r.duckdb"))
    before = db.read_bytes()
    found = invoke("sql", "runs", "--format", "csv", "--output", db, "--db", db)
    assert found.exit_code == 2
    assert "it is the results file" in found.stderr
    assert db.read_bytes() == before


def test_a_text_that_looks_like_a_number_is_compared_as_text(three_runs, tmp_path):
    db = Path(shutil.copy(three_runs[0], tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE interventions SET ablation = '10'")
    call_ = ("sql", "impact_by_family", "--run", "few", "--set", "ablation=10", "--format", "json")
    rows = json.loads(invoke(*call_, "--db", db).stdout)
    assert {row["ablation"] for row in rows} == {"10"}


def test_ones_own_sql_takes_parameters_too(three_runs):
    db, run_id, _ = three_runs
    sql = "SELECT run_id, $layer + 1 AS n, $word AS w FROM runs WHERE run_id = $run"
    found = invoke("sql", sql, "--set", "layer=3", "--set", "word=three", "--run", "few", "--format", "json", "--db", db)  # fmt: skip
    assert json.loads(found.stdout) == [{"run_id": run_id, "n": 4, "w": "three"}]
