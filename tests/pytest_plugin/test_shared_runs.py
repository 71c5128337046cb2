"""Claims that are spread over processes: a spec runs once, and what became of it is known to all."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from harness.errors import CannotRun, Fault
from harness.pytest_plugin.shared_runs import (
    WRITING,
    Desk,
    Outcomes,
    probe_in_turn,
    store_in_turn,
)
from tests.helpers.victim import unit_and_rows


def test_whoever_comes_second_waits_for_the_first(tmp_path):
    """As two workers would: each has its own memory, and they share a folder."""
    ran, found = [], []

    def run():
        ran.append(1)
        time.sleep(0.1)  # the others ask meanwhile
        return "the outcome"

    def ask():
        found.append(Outcomes(tmp_path).of(Path("a.yaml"), run))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["the outcome"] * 4
    assert len(ran) == 1
    assert Outcomes(tmp_path).all() == ["the outcome"]


def test_what_stops_a_run_is_shared_and_what_nobody_expects_is_not(tmp_path):
    def stop():
        raise CannotRun(Fault("disk", "it is full", "make room"))

    def crash():
        raise ZeroDivisionError

    with pytest.raises(CannotRun):
        Outcomes(tmp_path).of(Path("a.yaml"), stop)
    with pytest.raises(CannotRun, match="disk: it is full; make room"):
        Outcomes(tmp_path).of(Path("a.yaml"), pytest.fail)
    with pytest.raises(ZeroDivisionError):
        Outcomes(tmp_path).of(Path("b.yaml"), crash)
    assert Outcomes(tmp_path).of(Path("b.yaml"), lambda: "later") == "later"
    assert Outcomes(tmp_path).all() == ["later"]


def test_what_workers_share_is_gone_with_the_desk():
    desk = Desk()
    assert desk.folder.is_dir()
    desk.close()
    assert not desk.folder.exists()


def test_a_file_that_cannot_be_opened_is_told_to_every_worker(tmp_path):
    db = tmp_path / "r.duckdb"
    db.write_text("no database")
    for _ in range(2):
        with pytest.raises(CannotRun, match=r"r\.duckdb"):
            probe_in_turn(tmp_path, db, wait=0, say=pytest.fail)
        with pytest.raises(CannotRun, match=r"r\.duckdb"), opened(tmp_path, db):
            pass


def opened(folder, db, **more):
    return store_in_turn(folder, db, wait=0, say=pytest.fail, **more)


def test_workers_take_turns_at_the_results_file(tmp_path):
    """None of them fails where another one writes, whatever `--harness-wait` says: it waits."""
    db, inside, most = tmp_path / "r.duckdb", [], []

    def write(name):
        with opened(tmp_path, db) as store:
            inside.append(name)
            store.commit(*unit_and_rows(name, 3))
            time.sleep(0.05)  # the others come meanwhile
            most.append(len(inside))
            inside.remove(name)

    threads = [threading.Thread(target=write, args=(f"u{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    with opened(tmp_path, db) as store:
        assert store.finished("r") == {"u0", "u1", "u2", "u3"}
        # Whoever begins while one writes loads its model, and waits then.
        probe_in_turn(tmp_path, db, wait=0, say=pytest.fail)


def test_the_turn_of_a_worker_that_dies_is_over(tmp_path):
    code = (
        "import sys, time, filelock\nheld = filelock.FileLock(sys.argv[1])\nheld.acquire()\n"
        "print(flush=True)\ntime.sleep(60)"
    )
    call = [sys.executable, "-c", code, tmp_path / WRITING]
    with subprocess.Popen(call, stdout=subprocess.PIPE) as worker:
        worker.stdout.readline()
        with pytest.raises(Timeout):
            FileLock(tmp_path / WRITING, timeout=0).acquire()
        worker.kill()
    with opened(tmp_path, tmp_path / "r.duckdb") as store:
        assert store.finished("r") == set()
