"""One writer for many processes: theirs hand their rows to the one that has the file open.

DuckDB lets one process write at a time, and no other read meanwhile. So a worker's call is a message,
and its answer the acknowledgement: a commit that was answered is in the file. A worker that dies takes
its unanswered message with it, or leaves it whole: the ledger knows.
"""

import os
import secrets
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from pathlib import Path
from threading import Event, Thread
from typing import Any

from numpy.typing import NDArray

from harness.errors import CannotRun, Fault, HarnessError
from harness.store.database import Store
from harness.store.interface import ColumnsT, Given
from harness.store.tables.columns import Columns

PAUSE = 0.2  # seconds between looks at whether to end
PATIENCE = 10  # seconds that a peer may take for each message by which it shows that it has the key
# The methods of `RunStore`: a message names the one that it calls, and may name no other of a store.
_CALLS = ("commit", "replace", "set_run", "finished", "read", "query", "arrays")


@dataclass(frozen=True)
class Address:
    """Where a store is served, and the key to it: can be sent to a worker."""

    place: Any
    key: bytes
    path: Path


@contextmanager
def serve(store: Store) -> Iterator[Address]:
    """Let processes that have the address write through this store, for as long as the block lasts.

    What was sent before the block ends is answered.
    """
    key = secrets.token_bytes(32)
    with Listener(backlog=64) as listener:
        address = Address(listener.address, key, store.path)
        ending = Event()
        accepting = Thread(target=_accept, args=(listener, key, store, ending), daemon=True)
        accepting.start()
        try:
            yield address
        finally:
            ending.set()
            # The thread that waits for a connection is woken by a last one. A thread makes it: where
            # a worker came in between, nobody takes it.
            Thread(target=_wake, args=(address,), daemon=True).start()
            accepting.join(timeout=60)  # for a worker that hangs nobody waits for ever


class RemoteStore(AbstractContextManager["RemoteStore"]):
    """The store of another process, as a run writes to it; use as a context manager.

    Faults of the store are raised here. Raises `CannotRun` where the writer is gone.
    """

    def __init__(self, address: Address) -> None:
        self.path = address.path
        try:
            self._connection = Client(address.place, authkey=address.key)
        except (OSError, EOFError):
            raise _gone(self.path) from None

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def commit(self, *columns: Columns) -> None:
        """As `Store.commit`; returns when the rows are in the file."""
        self._call("commit", *columns)

    def replace(self, run_id: str, *columns: Columns, **values: object) -> None:
        """As `Store.replace`."""
        self._call("replace", run_id, *columns, **values)

    def set_run(self, run_id: str, **values: object) -> None:
        """As `Store.set_run`."""
        self._call("set_run", run_id, **values)

    def finished(self, run_id: str) -> set[str]:
        """As `Store.finished`."""
        return set(self._call("finished", run_id))

    def read(self, kind: type[ColumnsT], run_id: str | None = None, **equal: object) -> ColumnsT:
        """As `Store.read`."""
        columns: ColumnsT = self._call("read", kind, run_id, **equal)
        return columns

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """As `Store.query`."""
        names, rows = self._call("query", sql, parameters)
        return names, rows

    def arrays(
        self, sql: str, parameters: Mapping[str, object] | None = None, **given: Given
    ) -> dict[str, NDArray[Any]]:
        """As `Store.arrays`."""
        columns: dict[str, NDArray[Any]] = self._call("arrays", sql, parameters, **given)
        return columns

    def _call(self, name: str, *arguments: object, **options: object) -> Any:
        try:
            self._connection.send((name, arguments, options))
            answer, error = self._connection.recv()
        except (EOFError, OSError):
            raise _gone(self.path) from None
        if error is not None:
            raise error
        return answer


def _wake(address: Address) -> None:
    with suppress(OSError, EOFError):
        Client(address.place, authkey=address.key).close()


def _accept(listener: Listener, key: bytes, store: Store, ending: Event) -> None:
    """Answer every worker in a thread of its own, until it ends."""
    threads: list[Thread] = []
    while not ending.is_set():
        try:
            connection = listener.accept()
        except (EOFError, OSError):  # a worker that died
            continue
        threads.append(Thread(target=_answer, args=(connection, key, store, ending), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _answer(connection: Connection, key: bytes, store: Store, ending: Event) -> None:
    """Answer one worker, also when the end has come, until nothing of its is left unanswered."""
    with connection, suppress(EOFError, OSError, AuthenticationError):
        _check_key(connection, key)
        while not (ending.is_set() and not connection.poll()):
            if not connection.poll(PAUSE):
                continue
            name, arguments, options = connection.recv()
            # An error of the store is the worker's to raise; any other one ends its thread, and the
            # worker hears that the writer is gone.
            try:
                if name not in _CALLS:
                    raise ValueError(name)
                answer = getattr(store, name)(*arguments, **options)
            except (HarnessError, ValueError) as error:
                connection.send((None, error))
            else:
                connection.send((answer, None))


def _check_key(connection: Connection, key: bytes) -> None:
    """Raises where a peer does not show that it has the key: nothing of it is unpickled before.

    Not in the listener, as its own argument `authkey` would: there, who says nothing keeps out all others.
    """
    _wait_at_most(connection, PATIENCE)
    deliver_challenge(connection, key)
    answer_challenge(connection, key)
    _wait_at_most(connection, 0)  # from here on, for ever


def _wait_at_most(connection: Connection, seconds: int) -> None:
    """For each message; where a connection is no socket (on Windows, a pipe), for ever."""
    if os.name == "posix":
        # An option of the socket itself, which a second descriptor of it sets as well.
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            limit = struct.pack("ll", seconds, 0)
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _gone(path: Path) -> CannotRun:
    what = "the process that writes to it has ended"
    return CannotRun(Fault(str(path), what, "the same command goes on from there"))
