"""Which run a name means."""

import shutil
from pathlib import Path

import duckdb
import pytest

from harness.errors import InputError
from harness.store.database import Store
from harness.store.find_run import find_run
from tests.helpers.store import dictionaries


@pytest.fixture(scope="module")
def many(three_runs, tmp_path_factory):
    """Runs of many names: finished at different times, unfinished, one name the start of another."""
    db = Path(shutil.copy(three_runs[0], tmp_path_factory.mktemp("many") / "r.duckdb"))
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


def test_a_mock_hides_no_verdict_and_is_no_specs_run(three_runs, tmp_path):
    """Its run is the newest, and of the same spec and target."""
    db, run_id, _ = three_runs
    db = Path(shutil.copy(db, tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        for name in ("runs", "verdicts"):
            later = ", finished_at + INTERVAL 9 HOUR AS finished_at" if name == "runs" else ""
            connection.execute(
                f"INSERT INTO {name} SELECT * REPLACE ('m' AS run_id, 'mock' AS origin{later}) "
                f"FROM {name} WHERE run_id = $r",
                {"r": run_id},
            )
    found = dictionaries(db, "SELECT DISTINCT run_id FROM latest_verdicts WHERE spec_name = 'few'")
    assert {row["run_id"] for row in found} == {run_id, "m"}
    assert meant(db, "few") == run_id
    assert meant(db, "latest") == "m"
