"""Tables, views, macros and saved queries find over parts what they find in the file that these are from."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys

import pandas
import polars
import pytest

from harness.store.database import Store
from harness.store.parts.layout import BY_LAYER, INDEX, MANIFEST, TABLE_NAMES
from harness.store.queries import RUNS, parse_value, saved_queries
from harness.store.run_names import stored_runs
from harness.store.table_sizes import row_sizes
from tests.helpers.cli import invoke
from tests.helpers.parts import all_in_parts, check_same
from tests.helpers.store import query

VIEWS = (
    "behaviour", "baseline_behaviour", "family_contrasts", "claims", "top_features", "ablation_summary",
    "dose_response", "side_effect_summary", "decoy_summary", "injection_summary", "transfer_impacts",
    "transfer_summary", "impact_by_family", "set_claims", "latest_verdicts",
)  # fmt: skip
MACROS = (
    "calibration($run)",
    "fingerprints($run)",
    "row_digests($run)",
    "differences($run, $other)",
)


@pytest.fixture(scope="session", params=["three_runs", "finished"])
def both(request, tmp_path_factory):
    """A results file and its parts, opened to read."""
    found = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("parts")
    # A copy: a process that exports opens a file in a way of its own, and others may have it open here.
    db = shutil.copy(found[0] if request.param == "three_runs" else found, folder / "whole.duckdb")
    index = all_in_parts(db, folder / "of all")
    with Store.open_to_read(db) as whole, Store.open_to_read(index) as parts:
        yield whole, parts


def test_every_view_is_known_here(root):
    sql = (root / "db" / "views.sql").read_text(encoding="utf-8")
    assert set(re.findall(r"CREATE OR REPLACE VIEW (\w+)", sql)) == set(VIEWS)


@pytest.mark.parametrize("name", [*TABLE_NAMES, *VIEWS])
def test_a_table_or_view_has_the_same_columns_and_rows(both, name):
    (names, theirs), (found, ours) = (one.query(f"FROM {name}") for one in both)
    assert found == names
    check_same(ours, theirs)
    described = [
        [row[:2] for row in one.query(f"DESCRIBE {name}")[1]] for one in both
    ]  # a view's columns can all be null
    assert described[0] == described[1]


@pytest.mark.parametrize("macro", MACROS)
def test_a_macro_has_the_same_rows_to_the_bit(both, macro):
    runs = [run for (run,) in both[0].query("SELECT run_id FROM runs ORDER BY run_id")[1]]
    for run, other in itertools.permutations(runs, 2):
        values = {"run": run, "other": other}
        used = {name: value for name, value in values.items() if f"${name}" in macro}
        theirs, ours = (sorted(one.query(f"FROM {macro}", used)[1]) for one in both)
        assert ours == theirs
        assert ours or macro.startswith("calibration")


def values_of(store):
    """What the parameters of saved queries are asked with: every run and claim, some features."""
    runs = [run for (run,) in store.query("SELECT run_id FROM runs ORDER BY run_id")[1]]
    busy = (
        "SELECT layer, feature FROM {} GROUP BY ALL ORDER BY count(*) DESC, layer, feature LIMIT 2"
    )
    features = [row for name in ("token_activations", "activations") for row in store.query(busy.format(name))[1]]  # fmt: skip
    claims = [
        claim for (claim,) in store.query("SELECT DISTINCT claim FROM verdicts ORDER BY 1")[1]
    ]
    return runs, features, claims


@pytest.mark.parametrize("name", saved_queries())
def test_a_saved_query_has_the_same_rows(both, name):
    runs, features, claims = values_of(both[0])
    saved = saved_queries()[name]
    wanted = {one.name for one in saved.parameters}
    rows = 0
    for run, (layer, feature), claim in itertools.product(
        runs if wanted & set(RUNS) else runs[:1],
        features if "feature" in wanted else features[:1],
        claims if "claim" in wanted else claims[:1],
    ):
        given = {"run": run, "run_a": run, "run_b": runs[-1], "claim": claim, "set": "few/top"}
        given |= {"layer": str(layer), "feature": str(feature), "limit": "100000"}
        values = saved.fill({key: given[key] for key in wanted & set(given)})
        values = {key: parse_value(text) for key, text in values.items()}
        (names, theirs), (found, ours) = (one.query(saved.sql, values) for one in both)
        assert found == names
        check_same(ours, theirs)
        rows += len(ours)
    known = ("families_that_disagree", "cautions", "token_injection", "side_effects", "decoys", "baselines",
             "sufficiency", "known_of_set", "crossfit", "matched_features", "transfers",
             "attribution_errors", "feature_meaning")  # fmt: skip
    assert rows or name in known


def test_commands_that_read_say_the_same(copies, divided, tmp_path, undrawn):
    db, run_id = copies
    for call in (
        ["show", run_id, "--json"],
        ["show", "few/top", "--json"],
        ["compare", run_id, "twin", "--json"],
        ["compare", run_id, "odd", "--json"],
        ["sql", "runs", "--format", "csv", "--snapshot"],
        ["sql", "evidence", "--run", "few", "--set", "claim=moved", "--format", "json"],
        [
            "sql",
            "FROM verdicts WHERE run_id = $run ORDER BY ALL",
            "--run",
            "few",
            "--format",
            "csv",
        ],
    ):
        theirs, ours = (invoke(*call, "--db", one) for one in (db, divided))
        assert ours.exit_code == theirs.exit_code == 0, ours.output
        assert ours.stdout == theirs.stdout
    page = tmp_path / "page.html"
    found = invoke("report", run_id, "--db", divided, "--output", page)
    assert found.exit_code == 0, found.output
    assert run_id in page.read_text()


def test_the_shell_completes_the_names_of_runs(copies, divided, own):
    assert stored_runs(divided) == stored_runs(copies[0])
    assert len(stored_runs(divided)) == 3
    (own.parent / "run_id=odd" / MANIFEST).unlink()
    assert stored_runs(own) == []


def test_a_price_is_of_as_many_rows(copies, divided):
    db, run_id = copies
    with Store.open_to_read(db) as whole, Store.open_to_read(divided) as parts:
        theirs, ours = row_sizes(whole, run_id), row_sizes(parts, run_id)
    assert {name: one.rows for name, one in ours.items()} == {
        name: one.rows for name, one in theirs.items()
    }
    taken = sum(path.stat().st_size for path in divided.parent.rglob("*.parquet"))
    assert sum(one.stored * one.rows for one in ours.values()) == pytest.approx(taken / 3, rel=0.2)


OTHER = """
import duckdb, json
with duckdb.connect("parts.duckdb", read_only=True) as db:
    db.execute("SET TimeZone = 'UTC'")
    rows = {name: db.sql(f"SELECT count(*) FROM {name}").fetchall() for name in NAMES}
    plan = db.sql("EXPLAIN ANALYZE SELECT sum(value) FROM activations WHERE run_id = 'odd' AND layer = 3")
    print(json.dumps([rows, plan.fetchall()[0][1]]))
"""


def test_any_other_client_asks_the_folder_wherever_it_is_moved(copies, own, tmp_path):
    moved = shutil.move(own.parent, tmp_path / "elsewhere [and] 'odd'")
    names = [*TABLE_NAMES, *VIEWS]
    told = subprocess.run(
        [sys.executable, "-c", f"NAMES = {names}\n{OTHER}"],
        cwd=moved,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    rows, plan = json.loads(told.stdout)
    for name in names:
        ((known,),) = query(copies[0], f"SELECT count(*) FROM {name}")
        assert rows[name] == [[known]]
    assert "Scanning Files: 1/" in plan
    assert query(moved / INDEX, "SELECT count(*) FROM impacts") == [
        tuple(one) for one in rows["impacts"]
    ]


def test_readers_of_hives_find_run_and_layer_in_the_paths(copies, divided):
    db, run_id = copies
    columns = "prompt_id, layer, feature, value"
    known = query(db, f"SELECT {columns} FROM activations WHERE run_id = $r ORDER BY ALL", r=run_id)
    home = divided.parent / f"run_id={run_id}"
    frame = pandas.read_parquet(home / "activations")
    found = frame[columns.split(", ")].astype({"layer": int}).itertuples(index=False, name=None)
    assert sorted(found) == known
    lazy = polars.scan_parquet(
        divided.parent / "run_id=*/activations/**/*.parquet", hive_partitioning=True
    )
    mine = lazy.filter(polars.col("run_id") == run_id).select(columns.split(", ")).collect()
    assert sorted(mine.rows()) == known


def test_only_wide_tables_are_divided_by_layer(divided):
    with_layers = {path.parent.name for path in divided.parent.glob("run_id=*/*/layer=*")}
    assert with_layers == BY_LAYER
