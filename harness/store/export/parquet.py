"""Arrow tables in Parquet files, in the compression that every reader knows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import CannotRun, Fault, InputError


def write(table: pa.Table, path: Path) -> None:
    """Write an Arrow table of any columns to one file. Raises `CannotRun` where the disk forbids it."""
    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotRun(
            Fault(str(path), f"cannot be written: {reason}", "make room, or name another place")
        ) from None


def read(path: Path) -> pa.Table:
    """The Arrow table of one file, in memory. Raises `InputError` where it is none, or cut off."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            Fault(str(path), f"cannot be read as Parquet: {reason}", "export the run again")
        ) from None
