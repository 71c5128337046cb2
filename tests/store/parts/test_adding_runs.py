"""Runs are added to a folder of parts whole or not at all, by many at once, and come back as they were."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow.parquet as pq
import pytest

from harness.errors import CannotRun, InputError
from harness.store import migrations
from harness.store.database import Store
from harness.store.export.parquet_runs import import_runs
from harness.store.export.parts import add_run, read_parts, runs_in
from harness.store.find_run import find_run
from harness.store.migrations import VERSION
from harness.store.parts.layout import INDEX, MANIFEST
from tests.helpers.cli import invoke
from tests.helpers.parts import all_in_parts
from tests.helpers.store import query, rows_of

DIGESTS = "FROM row_digests($r) ORDER BY ALL"
OF_NO_RUN = ("FROM registrations ORDER BY ALL", "FROM feature_labels ORDER BY ALL")


def run_ids(db):
    return [run for (run,) in query(db, "SELECT run_id FROM runs ORDER BY run_id")]


def check_equal(ours, theirs):
    """Two results files hold the same runs, to the bit, and what belongs to none."""
    assert run_ids(ours) == run_ids(theirs)
    for run in run_ids(theirs):
        assert query(ours, DIGESTS, r=run) == query(theirs, DIGESTS, r=run)
    assert rows_of(ours) == rows_of(theirs)
    for sql in OF_NO_RUN:
        assert query(ours, sql) == query(theirs, sql)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, copies):
    """The three runs, with labels of features, one of an SAE that none of them reads."""
    db = shutil.copy(copies[0], tmp_path_factory.mktemp("labelled") / "r.duckdb")
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET neuronpedia = ['a/1', 'a/3']")
        connection.execute(
            "INSERT INTO feature_labels SELECT source, feature, 'of ' || source, 'x', now() "
            "FROM (VALUES ('a/1', 1), ('a/3', 2), ('b/1', 1)) t(source, feature)"
        )
    return db


def test_all_runs_come_back_as_they_were(labelled, tmp_path):
    index = all_in_parts(labelled, tmp_path / "parts")
    for number, source in enumerate((index, index.parent)):
        back = tmp_path / f"{number}.duckdb"
        found = invoke("import", source, "--db", back)
        assert found.exit_code == 0, found.output
        assert sorted(found.stdout.split()) == run_ids(labelled)
        with duckdb.connect(str(labelled)) as connection:  # what no run here reads is not theirs
            connection.execute("DELETE FROM feature_labels WHERE source = 'b/1'")
        check_equal(back, labelled)
    assert len(query(back, "FROM feature_labels")) == 2


def test_one_run_comes_back_and_those_that_are_there_stay(copies, divided, tmp_path):
    back = tmp_path / "back.duckdb"
    found = invoke("import", divided.parent / "run_id=odd", "--db", back)
    assert (found.exit_code, found.stdout) == (0, "odd\n"), found.output
    assert rows_of(back) == rows_of(copies[0], "odd")
    again = invoke("import", divided.parent / "run_id=odd", "--db", back)
    assert again.exit_code == 2
    assert again.stderr == f"error: run odd: {back} has it already; there is nothing to import\n"
    rest = invoke("import", divided, "--db", back)
    assert rest.exit_code == 0
    assert rest.stderr == "odd is here already: left out\n"
    check_equal(back, copies[0])


def test_finished_evals_come_back_as_they_were(finished, tmp_path):
    index = all_in_parts(finished, tmp_path / "parts")
    assert invoke("import", index, "--db", tmp_path / "back.duckdb").exit_code == 0
    check_equal(tmp_path / "back.duckdb", finished)


def test_a_large_table_is_several_parts(copies, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.store.export.parts.GROUP_ROWS", 512)
    monkeypatch.setattr("harness.store.export.parquet.PART_ROWS", 1024)
    index = all_in_parts(copies[0], tmp_path / "parts")
    parts = sorted((index.parent / "run_id=odd" / "token_activations" / "layer=3").iterdir())
    assert len(parts) == 3
    assert {pq.read_metadata(part).num_rows for part in parts[:-1]} == {1024}
    assert {pq.read_metadata(part).num_row_groups for part in parts[:-1]} == {2}
    assert rows_of(index) == rows_of(copies[0])
    assert invoke("import", index, "--db", tmp_path / "back.duckdb").exit_code == 0
    check_equal(tmp_path / "back.duckdb", copies[0])


def test_a_run_is_written_in_the_same_bytes_again(copies, divided, tmp_path):
    index = all_in_parts(copies[0], tmp_path / "parts")
    for manifest in divided.parent.glob(f"*/{MANIFEST}"):
        assert manifest.read_text() == (index.parent / manifest.parent.name / MANIFEST).read_text()


def test_what_is_there_is_left_out_and_nothing_of_it_touched(copies, own):
    shutil.rmtree(own.parent / "run_id=twin")
    before = {path: path.stat().st_mtime_ns for path in own.parent.rglob("*.parquet")}
    call = ("export", "all", "--format", "parts", "--output_dir", own.parent, "--db", copies[0])
    found = invoke(*call)
    assert found.exit_code == 0, found.output
    assert found.stdout == f"{own.parent / 'run_id=twin'}\n"
    assert found.stderr == f"{copies[1]} is here already: left out\nodd is here already: left out\n"  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert rows_of(own) == rows_of(copies[0])


def test_what_is_not_finished_is_left_out_or_refused(copies, tmp_path):
    db = shutil.copy(copies[0], tmp_path / "r.duckdb")
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET status = 'unfinished' WHERE run_id = 'odd'")
    call = ("--format", "parts", "--output_dir", tmp_path / "parts", "--db", db)
    found = invoke("export", "all", *call)
    assert "odd is not finished: left out" in found.stderr
    assert run_ids(tmp_path / "parts" / INDEX) == sorted([copies[1], "twin"])
    assert invoke("export", "odd", *call).exit_code == 2


@pytest.mark.parametrize("stop", [1, 20, 40])
def test_a_run_that_could_not_be_written_leaves_nothing(copies, own, monkeypatch, stop):
    from harness.store.export import parquet

    shutil.rmtree(own.parent / "run_id=odd")
    before = sorted(own.parent.rglob("*"))
    calls, write = [], parquet.write_parts

    def full(batches, names, ordered):
        calls.append(1)
        if len(calls) == stop:
            raise OSError(28, "No space left on device")
        return write(batches, names, ordered)

    monkeypatch.setattr(parquet, "write_parts", full)
    with (
        Store.open_to_read(copies[0]) as store,
        pytest.raises(CannotRun, match=r"run_id=odd: cannot be written: no space left.*make room"),
    ):
        add_run(store, find_run(store, "odd"), own.parent)
    assert len(calls) == stop
    assert sorted(own.parent.rglob("*")) == before
    assert len(run_ids(own)) == 2


def test_nobody_sees_a_run_before_it_is_whole(copies, own, monkeypatch):
    from harness.store.export import parts

    shutil.rmtree(own.parent / "run_id=odd")
    seen, write = [], parts.write_index

    def look(*arguments):
        seen.append(run_ids(own))  # all its parts are written, and it is not there yet
        write(*arguments)

    monkeypatch.setattr(parts, "write_index", look)
    with Store.open_to_read(copies[0]) as store:
        add_run(store, find_run(store, "odd"), own.parent)
    assert seen == [sorted([copies[1], "twin"])]
    assert len(run_ids(own)) == 3


def test_many_add_runs_to_one_folder_at_once(copies, tmp_path):
    folder = tmp_path / "parts"
    names = [copies[1], "twin", "odd", "odd"]

    def add(name):
        # A process has its own copy, as a machine has.
        db = shutil.copy(copies[0], tmp_path / f"{id(name)}-{len(name)}-{add.n.pop()}.duckdb")
        call = [sys.executable, "-m", "harness", "export", name, "--format", "parts"]
        call += ["--output_dir", str(folder), "--db", str(db)]
        return subprocess.run(call, capture_output=True, text=True, check=False)

    add.n = list(range(len(names)))
    with ThreadPoolExecutor(len(names)) as pool:
        done = list(pool.map(add, names))
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    written = [line for one in done for line in one.stdout.splitlines()]
    assert sorted(written) == sorted(str(folder / f"run_id={name}") for name in set(names))
    assert sum("odd is here already: left out" in one.stderr for one in done) == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [INDEX, *(f"run_id={name}" for name in set(names))]
    )
    assert rows_of(folder / INDEX) == rows_of(copies[0])


@pytest.mark.parametrize("folder", ["we[i]rd", "st*r", "quo'te", "com,ma and space", "ünï"])
def test_a_folder_can_have_any_name(copies, tmp_path, folder):
    call = ("--format", "parts", "--output_dir", tmp_path / folder, "--db", copies[0])
    assert invoke("export", "odd", *call).exit_code == 0
    assert run_ids(tmp_path / folder / INDEX) == ["odd"]
    found = invoke("import", tmp_path / folder, "--db", tmp_path / "back.duckdb")
    assert found.exit_code == 0, found.output
    assert rows_of(tmp_path / "back.duckdb") == rows_of(copies[0], "odd")


def test_a_part_that_was_changed_since_is_not_taken_back(own, tmp_path):
    path = own.parent / "run_id=odd" / "impacts" / "part-0.parquet"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    found = invoke("import", own, "--db", tmp_path / "back.duckdb")
    assert found.exit_code == 3
    assert (
        found.stderr
        == f"error: {path}: it is not the file that was exported; export the run again\n"
    )
    assert not (tmp_path / "back.duckdb").exists()


def test_a_run_whose_id_is_no_name_is_not_added(copies, tmp_path):
    with Store.open_to_read(copies[0]) as store:
        run = find_run(store, "odd") | {"run_id": "../odd"}
        with pytest.raises(InputError, match="no folder can have its id"):
            add_run(store, run, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_parts_of_an_older_schema_are_brought_up_to_date(copies, own, tmp_path, monkeypatch):
    known, impacts = run_ids(copies[0]), query(copies[0], "SELECT count(*) FROM impacts")
    plain = migrations._sql
    more = (
        "ALTER TABLE impacts ADD COLUMN doubled DOUBLE;\nUPDATE impacts SET doubled = 2 * impact;\n"
    )

    def sql(*path):
        if path[-1] == f"{VERSION + 1:04}.sql":
            return more
        return plain(*path) + (more if path == ("schema.sql",) else "")

    monkeypatch.setattr(migrations, "_sql", sql)
    for module in ("migrations", "export.parquet_runs", "parts.run_parts"):
        monkeypatch.setattr(f"harness.store.{module}.VERSION", VERSION + 1)
    found = invoke("sql", "FROM runs", "--db", own)
    assert found.exit_code == 3
    assert (
        f"its parts are of schema {VERSION}, and this harness reads {VERSION + 1}" in found.stderr
    )
    with Store.open(tmp_path / "new.duckdb") as store:
        exports = [read_parts(home) for home in runs_in(own)]
        assert sorted(import_runs(store, exports, print)) == known
        wrong = "SELECT count(*) FROM impacts WHERE doubled IS DISTINCT FROM 2 * impact"
        assert store.query(wrong)[1] == [(0,)]
        assert store.query("SELECT count(*) FROM impacts")[1] == impacts


def test_a_newer_schema_is_refused(own, tmp_path):
    path = own.parent / "run_id=odd" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": VERSION + 1}))
    found = invoke("import", own, "--db", tmp_path / "back.duckdb")
    assert found.exit_code == 3
    assert f"it is of a newer harness (schema {VERSION + 1}" in found.stderr


def test_a_results_file_in_the_indexs_place_is_not_replaced(copies, tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    kept = shutil.copy(copies[0], folder / INDEX)
    call = ("export", "all", "--format", "parts", "--output_dir", folder, "--db")
    for db in (copies[0], kept):
        found = invoke(*call, db)
        assert found.exit_code == 3
        assert "it is no index of parts, and would be replaced" in found.stderr
    assert rows_of(kept) == rows_of(copies[0])
    (folder / INDEX).write_bytes(b"a note")
    assert invoke(*call, copies[0]).exit_code == 3
    (folder / INDEX).unlink()
    assert invoke(*call, copies[0]).exit_code == 0
