"""A consistent copy of a results file that another process is writing to.

A checkpoint writes into blocks that the last one left free, and only then the header that points at
them; what was committed since lies in the write-ahead log beside the file. So a copy taken while the
header stood still, with its log, holds whole transactions.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from harness.errors import CannotRun, Fault
from harness.store.database_file import connect, must_exist
from harness.store.errors import opening_error
from harness.store.parts.layout import is_index

HEADERS = 3 * 4096  # bytes: one of the file, and the two that checkpoints write in turn
LOG_HEAD = 4096  # bytes: a checkpoint empties the log, so that another record begins it
TRIES = 50
PAUSE = 0.1  # seconds


@contextmanager
def snapshot(file: Path) -> Iterator[Path]:
    """A copy of the file as of its last commit, for as long as the block lasts.

    Raises `CannotRun` where it changes too fast to be copied, or there is no room for a copy.
    """
    must_exist(file)
    if is_index(file):  # parts are never changed
        yield file
        return
    _check_magic(file)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        copy = Path(folder) / file.name
        reason: Exception | None = None
        for _ in range(TRIES):
            try:
                if _copy_unchanged(file, copy):
                    # It opens, and its log can be played: a copy of half a record cannot.
                    connect(copy).close()
                    break
            except (duckdb.Error, FileNotFoundError) as error:
                reason = error
            except OSError as error:
                raise opening_error(copy, error) from None
            for part in Path(folder).iterdir():
                with suppress(OSError):
                    part.unlink()
            time.sleep(PAUSE)
        else:
            if reason is not None and not isinstance(reason, FileNotFoundError):
                raise opening_error(file, reason)
            what = "it changes too fast to be copied"
            raise CannotRun(Fault(str(file), what, "run the same command again"))
        yield copy


def _check_magic(file: Path) -> None:
    """Raises `CannotRun` where no copy will ever be a database."""
    try:
        with file.open("rb") as data:
            if data.read(12)[8:] != b"DUCK":
                raise opening_error(file, ValueError("not a valid DuckDB database file"))
    except OSError as error:
        raise opening_error(file, error) from None


def _copy_unchanged(file: Path, copy: Path) -> bool:
    """Copy file and log; returns whether no checkpoint ended meanwhile, so that they belong together."""
    before = _state(file)
    shutil.copyfile(file, copy)
    # The log after the file: it holds all that was committed since the file's last checkpoint.
    log = _log(file)
    if log.exists():
        shutil.copyfile(log, _log(copy))
    return before == _state(file)


def _state(file: Path) -> tuple[bytes, bytes]:
    """What a checkpoint changes: the headers, and the beginning of the log."""
    with file.open("rb") as data:
        headers = data.read(HEADERS)
    try:
        with _log(file).open("rb") as data:
            return headers, data.read(LOG_HEAD)
    except FileNotFoundError:
        return headers, b""


def _log(file: Path) -> Path:
    return file.with_name(file.name + ".wal")
