"""The quick slice of the store's benchmark: every saved query has rows to find."""

import json

from benchmarks.store import Run, ask, fill
from harness.store.database import Store
from harness.store.queries import saved_queries


def test_every_saved_query_is_timed_on_rows_that_it_finds(tmp_path, capsys):
    runs = [Run(number, families=4) for number in range(3)]
    fill(tmp_path / "results.duckdb", runs)
    with Store.open_to_read(tmp_path / "results.duckdb") as store:
        ask(store, runs, rounds=1)
    *timed, figure = capsys.readouterr().out.splitlines()[1:]
    assert {line.split()[0].strip(":") for line in timed} == set(saved_queries())
    assert json.loads(figure)["unit"] == "s"
