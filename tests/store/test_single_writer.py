"""Many processes, one writer: everything arrives once, and what is refused is heard."""

import multiprocessing
import threading
import time

import pytest

from harness.errors import CannotRun
from harness.store import single_writer
from harness.store.database import Store
from harness.store.single_writer import RemoteStore, serve
from harness.store.tables.observations import Activations
from harness.store.tables.runs import Units
from tests.helpers.victim import deliver, unit_and_rows

SPAWN = multiprocessing.get_context("spawn")


def test_what_many_workers_deliver_arrives_once(tmp_path):
    with Store.open(tmp_path / "r.duckdb") as store, serve(store) as address:
        workers = [SPAWN.Process(target=deliver, args=(address, f"w{i}", 40)) for i in range(4)]
        for worker in workers:
            worker.start()
        while len(store.finished("r")) < 20:  # the writer reads while they write
            time.sleep(0.01)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        assert len(store.read(Units, "r")) == 160
        assert len(store.read(Activations, "r")) == 160 * 50


def test_a_worker_hears_what_the_store_refuses(tmp_path):
    with Store.open(tmp_path / "r.duckdb") as store, serve(store) as address:
        with RemoteStore(address) as remote:
            remote.commit(*unit_and_rows("a", 3))
            with pytest.raises(CannotRun, match="could not be written: Constraint") as caught:
                remote.commit(*unit_and_rows("a", 3))
            assert caught.value.faults[0].where.endswith("r.duckdb")
            assert len(remote.read(Activations, "r")) == 3
            remote.replace("r", unit_and_rows("b", 5)[0])
        assert len(store.read(Activations, "r")) == 5
        assert address.path == remote.path == store.path


def test_only_a_store_that_is_served_is_found_and_only_with_its_key(tmp_path):
    with Store.open(tmp_path / "r.duckdb") as store:
        with serve(store) as address:
            wrong = type(address)(address.place, b"guess", address.path)
            with pytest.raises(multiprocessing.AuthenticationError):
                RemoteStore(wrong)
            with RemoteStore(address) as remote:  # the stranger has done no harm
                assert remote.finished("r") == set()
        with pytest.raises(CannotRun, match="has ended; the same command goes on from there"):
            RemoteStore(address)


def test_the_end_waits_for_nobody_where_the_last_connection_is_not_taken(tmp_path, monkeypatch):
    """The thread that takes connections may see the end before the one that would wake it comes."""
    monkeypatch.setattr(single_writer, "_accept", lambda *_: None)

    def serve_once() -> None:
        with Store.open(tmp_path / "r.duckdb") as store, serve(store):
            pass

    ends = threading.Thread(target=serve_once, daemon=True)
    ends.start()
    ends.join(timeout=20)
    assert not ends.is_alive()
