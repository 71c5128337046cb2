"""Claims that are spread over processes: a spec runs once, and what became of it is known to all."""

import threading
import time
from pathlib import Path

import pytest

from harness.errors import CannotRun, Fault
from harness.pytest_plugin.shared_runs import Desk, Outcomes, served_store


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


def test_a_file_that_cannot_be_opened_is_told_to_every_worker(tmp_path):
    (tmp_path / "r.duckdb").write_text("no database")
    desk = Desk()
    try:
        desk.serve(tmp_path / "r.duckdb", wait=0, say=pytest.fail)
        for _ in range(2):
            with pytest.raises(CannotRun, match=r"r\.duckdb"):
                served_store(desk.folder)
    finally:
        desk.close()
    assert not desk.folder.exists()


def test_a_worker_writes_through_the_desk(tmp_path):
    desk = Desk()
    try:
        for _ in range(2):  # as often as a worker has collected
            desk.serve(tmp_path / "r.duckdb", wait=0, say=pytest.fail)
        with served_store(desk.folder) as store:
            assert store.path == tmp_path / "r.duckdb"
            assert store.finished("run") == set()
    finally:
        desk.close()
