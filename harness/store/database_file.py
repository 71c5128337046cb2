"""A results file as a file: whether its path can be one, and DuckDB's connection to it."""

import os
import secrets
import stat
import tempfile
import time
from itertools import chain
from pathlib import Path

import duckdb

from harness.errors import CannotRun, Fault, InputError, too_long
from harness.paths import can_be_named, is_address

# What every connection is opened with, and cannot change afterwards: SQL that lies in the file (views,
# macros, its log, which is played while it is opened) reads, writes and loads nothing else.
_OPTIONS = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    # Nor is what is no DuckDB file read by an extension that is fetched for it.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    # Set below, for the extension that knows it is loaded after these options are read.
    "allowed_configs": "['TimeZone']",
    # A new file can be read by every DuckDB that this package works with, and by as old command lines.
    "storage_compatibility_version": "v1.4.0",
}
_LAST = ("enable_external_access", "allowed_configs", "lock_configuration")
# What DuckDB makes beside a file: it writes through a link of that name, and waits for a pipe.
_BESIDE = (".wal", ".wal.checkpoint", ".wal.recovery", ".tmp")
_OTHER = "name another file with --db"
# MiB that a process which writes gives DuckDB, for each of its threads and at least: it keeps what was
# written for as long as there is room, and a run has a model beside it.
A_THREAD, LEAST = 128, 512
SETTLED = 1.0  # seconds after which nobody is about to write the first bytes of an empty file


def connect(
    file: Path | None = None,
    *,
    read_only: bool = False,
    beside: Path | None = None,
    memory: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a file, or a database in memory; a file that is there no more is made anew, unless only read.

    Every connection of this package is made here. Files below the folder `beside` can be read as well, by a
    database that is new. What is sorted beyond `memory`, as "2 GiB", lies on the disk. Raises `duckdb.Error`.
    """
    # From the root: DuckDB takes what stands before a colon for the name of an extension.
    where = ":memory:" if file is None else str(file.absolute())
    options: dict[str, str | bool | int | float | list[str]] = {**_OPTIONS}
    if memory is not None:
        options["memory_limit"] = memory
    elif file is not None and not read_only:
        options["memory_limit"] = f"{max(LEAST, A_THREAD * (os.cpu_count() or 1))}MiB"
    last = {} if beside is None else {name: options.pop(name) for name in _LAST}
    if beside is not None:
        # A database in memory would put what does not fit there into the working directory.
        options["temp_directory"] = f"{tempfile.gettempdir()}/harness-{secrets.token_hex(8)}"
    connection = duckdb.connect(where, read_only=read_only, config=options)
    # Else a run would read other times of itself in another zone.
    connection.execute("SET TimeZone = 'UTC'")
    if beside is not None:
        # DuckDB takes the folder before access is shut: nothing is in it yet that could be run.
        folder = str(beside).replace("'", "''")
        connection.execute(f"SET allowed_directories = ['{folder}']")
    for name, value in last.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def check_path(file: Path) -> None:
    """Raises `InputError` for what no file, or none of DuckDB's, can be named; `CannotRun` for no file."""
    if is_address(file):
        raise InputError(Fault(str(file), "it is an address, and results are in a file", _OTHER))
    if not can_be_named(file):
        raise InputError(too_long(file))
    try:
        str(file.absolute()).encode()
    except UnicodeEncodeError:
        what = "its path is not in UTF-8, and DuckDB can open no other"
        raise InputError(Fault(str(file), what, _OTHER)) from None
    try:
        kind = file.stat().st_mode
    except FileNotFoundError:
        if file.is_symlink():  # DuckDB would make a file where it leads
            what = f"it is a link to {os.readlink(file)}, which is not there"
            raise InputError(Fault(str(file), what, _OTHER)) from None
        _check_beside(file)
        return
    except (OSError, ValueError) as error:  # no name of a file, or not to be reached
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotRun(Fault(str(file), f"cannot be opened: {reason.lower()}", _OTHER)) from None
    if not stat.S_ISREG(kind):
        what = "it is a folder" if stat.S_ISDIR(kind) else "it is no regular file"
        raise CannotRun(Fault(str(file), what, _OTHER))
    _check_beside(file)


def _check_beside(file: Path) -> None:
    """Raises `CannotRun` where DuckDB would write to another file than the one that is named."""
    whole = file.resolve()  # of a link, DuckDB's log lies beside what it leads to
    *logs, spilled = (whole.with_name(whole.name + suffix) for suffix in _BESIDE)
    for beside in chain(logs, [spilled], spilled.glob("*")):
        try:
            kind = beside.lstat().st_mode
        except OSError:  # it is not there
            continue
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            what = "DuckDB would write there, and it is a link or no regular file"
            raise CannotRun(Fault(str(beside), what, "look at it, and remove it"))


def must_exist(file: Path) -> None:
    """Raises as `check_path`, and `CannotRun` where there is no such file, or nothing in it."""
    check_path(file)
    there = file.is_file()
    if not there or file.stat().st_size == 0:
        what = "it has no results yet" if there else "there are no results yet"
        raise CannotRun(Fault(str(file), what, "run `harness run voices` first"))


def check_folder(file: Path) -> None:
    """Raises `CannotRun` where a file cannot be created there."""
    folder = next(folder for folder in file.absolute().parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        what = f"it cannot be created: {folder} cannot be written to"
        raise CannotRun(Fault(str(file), what, "name a file in another folder with --db"))


def remove_empty(file: Path) -> None:
    """Take away a file without a byte, as a full disk or `mktemp` leaves it: DuckDB opens none.

    Whoever has just made it has a second to write to it. Raises `OSError`.
    """
    if file.is_file() and file.stat().st_size == 0:
        time.sleep(max(0.0, SETTLED - abs(time.time() - file.stat().st_mtime)))
        if file.stat().st_size == 0:
            file.unlink()
