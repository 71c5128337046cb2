"""Connections to a results file: one that writes, or any number that read.

DuckDB locks the file for a process: whoever writes keeps every other one out, readers too, and
readers keep writers out. A process that would read beside a writer reads a copy (`snapshot`).
"""

import time
from contextlib import ExitStack
from pathlib import Path

import duckdb

from harness.errors import CannotRun, Fault, Say
from harness.store import database_file, migrations
from harness.store.catalog import ForeignCatalog, check_tables, read_catalog
from harness.store.database_file import check_path, must_exist, remove_empty
from harness.store.errors import holder_of, not_a_database, opening_error
from harness.store.parts.layout import is_index
from harness.store.parts.views import connect_to_parts

RETRY = 0.1  # seconds


def connect_to_write(
    file: Path, wait: float, say: Say, *, keep: bool = True
) -> duckdb.DuckDBPyConnection:
    """The one connection that writes; the file has today's tables and views afterwards.

    Where another process writes, waits so many seconds for it. An older file is kept as a backup,
    unless told otherwise. Raises `CannotRun`, and `InputError` where its path can be no file's.
    """
    check_path(file)
    if is_index(file):
        what = "the runs beside it are parts, which are only read"
        raise CannotRun(Fault(str(file), what, "name a results file with --db"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_empty(file)
    except OSError as error:
        raise opening_error(file, error) from None
    connection = _connect(file, wait, say)
    try:
        version, found = migrations.checked_catalog(connection)
        if version is not None:
            migrations.check_version(file, version)
            if version < migrations.VERSION and keep:
                connection = _back_up(connection, file, version, wait, say)
        connection.begin()
        if version is None:
            migrations.create(connection)
        elif version < migrations.VERSION:
            migrations.migrate(connection, version)
            check_tables(read_catalog(connection))
        migrations.refresh_views(connection, found)
        connection.commit()
    except (duckdb.Error, OSError) as error:
        connection.close()
        raise opening_error(file, error) from None
    except ForeignCatalog as error:
        connection.close()
        raise _foreign_file(file, error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(
    file: Path, say: Say, *, keep: bool = True, memory: str | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection that cannot write, read other files or load extensions. Raises `CannotRun`.

    A file of an older version is brought up to date first, after a backup unless told otherwise. Of an
    index, it reads the parts beside it.
    """
    must_exist(file)
    if is_index(file):
        return connect_to_parts(file)
    connection, version = _connect_to_read(file, memory)
    if version == migrations.VERSION:
        return connection
    connection.close()
    if version is None:
        raise CannotRun(Fault(str(file), "it has no results yet", "run `harness run voices` first"))
    migrations.check_version(file, version)
    # Opened for writing for as long as this takes, and no longer: others may read then.
    connect_to_write(file, 0, say, keep=keep).close()
    return _connect_to_read(file, memory)[0]


def _connect_to_read(
    file: Path, memory: str | None
) -> tuple[duckdb.DuckDBPyConnection, int | None]:
    """A connection whose views say what ours do, and the version of its tables."""
    with ExitStack() as resources:
        try:
            opened = database_file.connect(file, read_only=True, memory=memory)
            connection = resources.enter_context(opened)
            version, found = migrations.checked_catalog(connection)
            if version == migrations.VERSION:
                migrations.shadow_views(connection, found)
        except ForeignCatalog as error:
            raise _foreign_file(file, error) from None
        except duckdb.Error as error:
            raise opening_error(file, error) from None
        resources.pop_all()
        return connection, version


def _connect(file: Path, wait: float, say: Say) -> duckdb.DuckDBPyConnection:
    """Try until the lock is free, for so many seconds: DuckDB itself does not wait for one."""
    until = time.monotonic() + wait
    waiting = False
    while True:
        try:
            return _check_on_disk(database_file.connect(file), file)
        except duckdb.Error as error:
            holder = holder_of(error)
            if holder is None or time.monotonic() >= until:
                raise opening_error(file, error) from None
            if not waiting:
                say(f"{file}: {holder} is writing to it; waiting up to {wait:g} s")
                waiting = True
            time.sleep(RETRY)


def _check_on_disk(connection: duckdb.DuckDBPyConnection, file: Path) -> duckdb.DuckDBPyConnection:
    """Raises `CannotRun` where DuckDB opened something else, such as a CSV file, in memory.

    What is written there would be lost.
    """
    paths = connection.execute("SELECT path FROM duckdb_databases() WHERE NOT internal").fetchall()
    if paths and all(path is None for (path,) in paths):
        connection.close()
        raise not_a_database(file)
    return connection


def _back_up(
    connection: duckdb.DuckDBPyConnection, file: Path, version: int, wait: float, say: Say
) -> duckdb.DuckDBPyConnection:
    """The file copied, and opened again. Raises `CannotRun` where another process was in between."""
    connection.execute("CHECKPOINT")  # so that the file is whole without its log
    # POSIX drops a process's locks on a file as soon as it closes any descriptor of it, and copying
    # closes one: beside an open connection, that would let another writer in without a word.
    connection.close()
    copy = migrations.back_up(file, version)
    say(f"{file}: brought from schema {version} to {migrations.VERSION}; as it was: {copy}")
    connection = _connect(file, wait, say)
    # Between closing and opening nobody was kept out.
    if migrations.version_of(connection) != version:
        connection.close()
        raise CannotRun(
            Fault(str(file), "another process changed it", "run the same command again")
        )
    return connection


def _foreign_file(file: Path, reason: ForeignCatalog) -> CannotRun:
    return CannotRun(Fault(str(file), str(reason), reason.remedy))
