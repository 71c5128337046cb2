"""Many processes, one writer: everything arrives once, and what is refused is heard."""

import contextlib
import multiprocessing
import os
import pickle
import socket
import threading
import time
from pathlib import Path

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
            assert all(worker.exitcode in (None, 0) for worker in workers)
            time.sleep(0.01)
        for worker in workers:
            worker.join(timeout=120)
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


def test_who_connects_and_says_nothing_keeps_nobody_out(tmp_path, monkeypatch):
    monkeypatch.setattr(single_writer, "PATIENCE", 1)
    with (
        Store.open(tmp_path / "r.duckdb") as store,
        serve(store) as address,
        socket.socket(socket.AF_UNIX) as silent,
        socket.socket(socket.AF_UNIX) as talkative,
    ):
        silent.connect(address.place)
        talkative.connect(address.place)
        talkative.sendall(b"\0\0\0\x03abc")
        began = time.monotonic()
        with RemoteStore(address) as remote:
            assert remote.finished("r") == set()
        assert time.monotonic() - began < 0.9
        silent.settimeout(5)
        while silent.recv(100):  # it is sent its challenge, and then away
            pass


def test_nothing_of_a_peer_without_the_key_is_unpickled(tmp_path, monkeypatch):
    made = tmp_path / "made"
    with Store.open(tmp_path / "r.duckdb") as store, serve(store) as address:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(address.place)
            message = pickle.dumps(Bomb(str(made)))
            for _ in range(3):
                with contextlib.suppress(OSError):
                    stranger.sendall(len(message).to_bytes(4, "big") + message)
            stranger.settimeout(5)
            with contextlib.suppress(OSError):
                while stranger.recv(100):
                    pass
        folder = Path(address.place).parent
        assert folder.stat().st_mode & 0o077 == 0
    assert not made.exists()
    Bomb(str(made)).__reduce__()[0](str(made))
    assert made.exists()


class Bomb:
    """What would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
