"""What DuckDB and the file system say, in one sentence that says what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from harness.errors import CannotRun, Fault, HarnessError, InputError
from harness.store.parts.layout import is_index, part_in

# As DuckDB begins when another connection has the file, and how it names whose it is.
_LOCK = "IO Error: Could not set lock on file "
_HOLDER = re.compile(r".*lock is held in (.+?) \(PID (\d+)\)( by user \w+)?")
# What a query cannot cause: the file itself, or the disk below it.
_FILE = (
    duckdb.IOException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.SerializationException,
)
_INTERRUPTED = "Query interrupted"
_DAMAGE = re.compile("(?i)corrupt|enough bytes|checksum|unexpected end")
AGAIN = "take the run's folder away, and export the run again"
_TABLES = "`harness sql --list` has queries, db/README.md the tables"


def opening_error(file: Path, error: Exception) -> CannotRun:
    """Why a results file cannot be opened."""
    if (holder := holder_of(error)) is not None:
        return CannotRun(
            Fault(
                str(file),
                f"{holder} is writing to it",
                "wait until it is done, read a copy with `harness sql --snapshot`, or name another "
                "file with --db",
            )
        )
    if _damaged(file, error):
        return _damage(file)
    message = _reason(file, error)
    # DuckDB opens a file of text as a database in memory that reads it, and one of another program by an
    # extension, where it may.
    if re.search(
        "not a valid DuckDB|in-memory database|^IO Error: Extension|Loading external extensions",
        message,
    ):
        return not_a_database(file)
    if "database file with version number" in message:
        what = "it was written by another version of DuckDB"
        return CannotRun(Fault(str(file), what, "pip install --upgrade duckdb"))
    if isinstance(error, PermissionError) or re.search("(?i)permission denied|read-only", message):
        what = f"cannot be opened: {_system(message)}"
        return CannotRun(Fault(str(file), what, "name a file in another folder with --db"))
    if _full(message):
        what = "there is no room left on the disk"
        return CannotRun(Fault(str(file), what, "make room; what was committed is safe"))
    return CannotRun(
        Fault(str(file), f"cannot be opened: {message}", "name another file with --db")
    )


def not_a_database(file: Path) -> CannotRun:
    """The file is something else."""
    return CannotRun(Fault(str(file), "it is no DuckDB file", "name another file with --db"))


def writing_error(file: Path, error: Exception) -> CannotRun:
    """Why rows cannot be written."""
    message = _reason(file, error)
    remedy = "what was committed before is safe, and the same command goes on from there"
    if _damaged(file, error):
        return _damage(file)
    if _full(message):
        what = "the rows could not be written: there is no room left on the disk"
        return CannotRun(Fault(str(file), what, f"make room; {remedy}"))
    return CannotRun(Fault(str(file), f"the rows could not be written: {message}", remedy))


def query_error(file: Path, error: Exception) -> HarnessError:
    """Why a query has no answer: it is wrong, or the file is damaged."""
    message = first_line(error)
    if isinstance(error, duckdb.PermissionException):
        what = "it would read other files or load extensions, and only the results file is read"
        return InputError(Fault("query", what, _TABLES))
    if part := part_in(file, str(error)):
        what = f"it is damaged, or not the part that was exported: {message.replace(part, 'it')}"
        return CannotRun(Fault(part, what, AGAIN))
    if type(error) is duckdb.Error and is_index(
        file
    ):  # of Parquet's own form, without a file's name
        remedy = "`harness import` of the folder says which"
        return CannotRun(Fault(str(file), f"a part beside it is damaged: {message}", remedy))
    if _damaged(file, error):
        return _damage(file)
    if isinstance(error, _FILE):
        what = f"it cannot be read: {message}"
        return CannotRun(Fault(str(file), what, "run the same command again"))
    guess = re.search("Did you mean (.+)|Candidate bindings: (.+)", str(error))
    remedy = f"did you mean {(guess[1] or guess[2]).rstrip('?')}?" if guess else _TABLES
    return InputError(Fault("query", message, remedy))


@contextmanager
def interrupts() -> Iterator[None]:
    """What DuckDB makes of Ctrl-C while it works, a `RuntimeError`, is `KeyboardInterrupt` again."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != _INTERRUPTED:
            raise
        raise KeyboardInterrupt from error


@contextmanager
def query_errors(file: Path) -> Iterator[None]:
    """What DuckDB says of a query meanwhile, as `query_error` has it."""
    try:
        with interrupts():
            yield
    except (duckdb.Error, UnicodeError) as error:
        raise query_error(file, error) from None


def not_tables(reason: str) -> InputError:
    """Why what is to be imported is refused."""
    what = f"these are no tables of a results file: {reason}"
    return InputError(Fault("import", what, "export the run again"))


def holder_of(error: Exception) -> str | None:
    """Who has the file locked, in words; None where the error is about something else."""
    message = first_line(error)
    if not (isinstance(error, duckdb.IOException) and message.startswith(_LOCK)):
        return None
    if holder := _HOLDER.match(message):
        # The program's name alone: the rest of its command line is its owner's.
        name = holder[1].rsplit("/", 1)[-1]
        return f"process {holder[2]}{holder[3] or ''} ({name})"
    # A file system without locks says so in the same place, and nobody is to be waited for.
    return None if re.search("(?i)not supported|no locks available", message) else "another process"


def first_line(error: Exception) -> str:
    """The first line of what an error says; its kind, where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _reason(file: Path, error: Exception) -> str:
    """The first line of what an error says, without the file's name, which may hold any word."""
    message = first_line(error)
    for name in (str(file.absolute()), str(file)):
        message = message.replace(f'"{name}', '"').replace(name, "it")
    return message


def _damaged(file: Path, error: Exception) -> bool:
    """Whether the file is not what was written: not where a query is wrong that has such words in it."""
    of_file = isinstance(error, _FILE) or type(error) is duckdb.Error
    return of_file and bool(_DAMAGE.search(_reason(file, error)))


def _damage(file: Path) -> CannotRun:
    what = "it is damaged or cut off"
    return CannotRun(
        Fault(str(file), what, "restore it from a copy, or name another file with --db")
    )


def _full(message: str) -> bool:
    return bool(re.search("(?i)no space left|disk.*full|file too large|out of disk", message))


def _system(message: str) -> str:
    """What the operating system said, of all that DuckDB says around it."""
    reason = re.search("(?i)permission denied|read-only file system|read-only", message)
    return reason[0].lower() if reason else message
