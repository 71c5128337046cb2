"""What is given as a results file, and what DuckDB says of it: one sentence, and no wait for nothing."""

import errno
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from harness.errors import CannotRun, HarnessError, InputError
from harness.store import database_file
from harness.store.database import Store
from harness.store.errors import holder_of, opening_error, query_error, writing_error

OPENINGS = (Store.open, Store.probe, Store.open_to_read, Store.open_snapshot)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a results file with a table that fills some blocks."""
    file = tmp_path_factory.mktemp("whole") / "r.duckdb"
    with Store.open(file):
        pass
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE much AS SELECT hash(i) h FROM range(100000) t(i)")
    return file.read_bytes()


def damaged(content):
    """Every block has other bytes than its checksum says."""
    content = bytearray(content)
    for block in range(12288, len(content), 262144):
        content[block + 64 : block + 72] = b"not this"
    return bytes(content)


def refusal(opening, file):
    """What is said of a file, which no opening may wait for."""
    began = time.monotonic()
    with pytest.raises(HarnessError) as refused:
        opening(file, **({"wait": 9} if opening in (Store.open, Store.probe) else {}))
    assert time.monotonic() - began < 1.5
    return str(refused.value)


def a_sqlite_file(file):
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE a (b)")
    connection.commit()
    connection.close()


def a_parquet_file(file):
    duckdb.sql("SELECT 1 AS a").write_parquet(str(file))


@pytest.mark.parametrize(
    "folder", ["plain", "lock", "disk full, corrupt checksum, permission denied"]
)
@pytest.mark.parametrize(
    "make, said",
    [
        (a_sqlite_file, "it is no DuckDB file"),
        (a_parquet_file, "it is no DuckDB file"),
        (lambda file: file.write_text("a,b\n1,2\n"), "it is no DuckDB file"),
        (lambda file: file.write_bytes(b"abc"), "it is no DuckDB file"),
        (Path.mkdir, "it is a folder"),
        (os.mkfifo, "it is no regular file"),
    ],
)  # fmt: skip
def test_what_is_no_results_file_is_named_whatever_its_folder_is_called(
    tmp_path, folder, make, said
):
    file = tmp_path / folder / "clock.duckdb"
    file.parent.mkdir()
    make(file)
    for opening in OPENINGS:
        assert said in refusal(opening, file), opening


@pytest.mark.parametrize("folder", ["plain", "lock"])
@pytest.mark.parametrize(
    "change", [damaged, lambda content: content[:20000], lambda content: content[:4096]]
)
def test_a_damaged_file_is_damaged_and_not_waited_for(tmp_path, whole, folder, change):
    file = tmp_path / folder / "blocks.duckdb"
    file.parent.mkdir()
    file.write_bytes(change(whole))
    for opening in OPENINGS[:3]:
        assert "it is damaged or cut off; restore it from a copy" in refusal(opening, file), opening


def test_only_who_holds_the_lock_is_waited_for(tmp_path):
    file = tmp_path / "lock is held in x (PID 1).duckdb"
    code = f"import duckdb; c = duckdb.connect({str(file)!r}); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        for opening in (Store.open_to_read, Store.open):
            with pytest.raises(CannotRun, match=rf"process {holder.pid} .*is writing to it"):
                opening(file)
        holder.stdin.close()
    Store.open(file).__exit__()


IO = duckdb.IOException


@pytest.mark.parametrize(
    "error, said",
    [
        (IO('IO Error: Could not set lock on file "FILE": Lock is already held in current process'),
         "another process is writing to it"),
        (IO('IO Error: Could not set lock on file "FILE": File locks are not supported for this file'),
         "cannot be opened: IO Error: Could not set lock"),
        (IO('IO Error: Could not write file "FILE": No space left on device'), "there is no room left"),
        (IO('IO Error: Could not open "FILE": Permission denied'), "cannot be opened: permission denied"),
        (IO("IO Error: Trying to read a database file with version number 99, but we can only"),
         "it was written by another version of DuckDB; pip install --upgrade duckdb"),
        (OSError(errno.ENOSPC, "No space left on device"), "there is no room left"),
        (duckdb.Error("Corrupt database file: computed checksum 1"), "it is damaged"),
    ],
)  # fmt: skip
def test_an_error_is_known_by_its_kind_and_its_words_not_by_the_file_s_name(error, said):
    file = Path("/corrupt/disk full/permission denied/lock/r.duckdb")
    told = type(error)(*(str(part).replace("FILE", str(file)) if isinstance(part, str) else part
                         for part in error.args))  # fmt: skip
    assert said in str(opening_error(file, told))
    assert (holder_of(told) is not None) == ("is writing" in said)


def test_a_wrong_query_with_the_words_of_damage_in_it_is_a_wrong_query(tmp_path):
    with Store.open(tmp_path / "r.duckdb") as store:
        for sql in ("FROM corrupt", "SELECT checksum FROM runs", "SELECT error('unexpected end')"):
            with pytest.raises(InputError):
                store.query(sql)
        with pytest.raises(InputError, match="it is not in UTF-8"):
            store.query("FROM \udcff")
    said = str(query_error(tmp_path, duckdb.Error("Corrupt database file: computed checksum")))
    assert "it is damaged" in said
    full = duckdb.IOException('Could not write file "/x": No space left on device')
    assert "make room" in str(writing_error(Path("/corrupt/r.duckdb"), full))


@pytest.mark.parametrize(
    "name", ["s3://bucket/r.duckdb", "https://host/r.duckdb", "md:", "md:results", "motherduck:r"]
)
def test_an_address_is_refused_and_leaves_no_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for opening in OPENINGS:
        assert "it is an address" in refusal(opening, name), opening
    assert list(tmp_path.iterdir()) == []


def test_a_colon_in_a_name_is_no_extension_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store.open("sqlite:r.duckdb").__exit__()
    assert Path("sqlite:r.duckdb").stat().st_size > 0


@pytest.mark.parametrize("name", ["\udcff.duckdb", "a" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    for opening in OPENINGS[:2]:
        with pytest.raises(HarnessError):
            opening(tmp_path / name)


def test_an_empty_leftover_is_in_nobody_s_way(tmp_path):
    file = tmp_path / "r.duckdb"
    file.touch()
    for opening in (Store.open_to_read, Store.open_snapshot):
        assert "it has no results yet" in refusal(opening, file)
    os.utime(file, (1, 1))
    with Store.open(file) as store:
        assert store.query("FROM runs")[1] == []


def test_who_writes_leaves_memory_for_a_model(tmp_path):
    def limit(**how):
        with database_file.connect(tmp_path / "r.duckdb", **how) as connection:
            return connection.execute("SELECT current_setting('memory_limit')").fetchone()[0]

    def mib(said):
        number, unit = said.split()
        return float(number) * {"MiB": 1, "GiB": 1024, "TiB": 1024**2}[unit]

    writing = mib(limit())
    assert writing == pytest.approx(max(512, 128 * os.cpu_count()), rel=0.06)  # as it is rounded
    assert mib(limit(read_only=True)) > 2 * writing
