"""The quick slice of the store's benchmark: every saved query has rows to find."""

import json
import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from benchmarks.store import Run, activation_tables, ask, by_row, fill, firings, read_back, rows_in
from harness.store.database import Store
from harness.store.queries import saved_queries
from harness.store.tables.observations import Activations
from tests.helpers.store import query


def test_every_saved_query_is_timed_on_rows_that_it_finds(tmp_path, capsys):
    runs = [Run(number, families=4) for number in range(3)]
    fill(tmp_path / "results.duckdb", runs)
    with Store.open_to_read(tmp_path / "results.duckdb") as store:
        ask(store, runs, rounds=1)
    *timed, figure = capsys.readouterr().out.splitlines()[1:]
    assert {line.split()[0].strip(":") for line in timed} == set(saved_queries())
    assert json.loads(figure)["unit"] == "s"


def test_every_way_to_store_rows_stores_the_same(tmp_path, figures):
    rows_in(tmp_path, rounds=1, few=50, families=2)
    shown = figures()
    assert len(shown) == 3
    assert all(figure["value"] > 0 for figure in shown.values())
    run = Run(0, families=2)
    wanted = sorted(by_row(activation_tables(run, firings(run))))
    columns = ", ".join(Activations.names())
    sql = f"SELECT {columns} FROM activations ORDER BY ALL"
    assert len(wanted) > 10_000
    assert [tuple(row) for row in query(tmp_path / "Store.commit", sql)] == wanted
    assert len(query(tmp_path / "DuckDB executemany", sql)) == 50
    with closing(sqlite3.connect(tmp_path / "SQLite executemany")) as connection:
        assert sorted(connection.execute(f"SELECT {columns} FROM activations")) == wanted
    table = pq.read_table(tmp_path / "Parquet, zstd")
    assert sorted(zip(*table.to_pydict().values(), strict=True)) == wanted


def test_what_is_read_back_from_parquet_is_what_the_store_has(tmp_path, capsys):
    runs = [Run(number, families=2) for number in range(2)]
    fill(tmp_path / "results.duckdb", runs)
    with Store.open_to_read(tmp_path / "results.duckdb") as store:
        read_back(store, runs[1], tmp_path / "run.parquet", rounds=1)
        rows = store.read(Activations, runs[1].id)
    table = pq.read_table(tmp_path / "run.parquet")
    assert table.num_rows == len(rows)
    assert table.column("value").to_numpy() == pytest.approx(rows.value)
    assert len(capsys.readouterr().out.splitlines()) == 2
