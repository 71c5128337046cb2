"""Arrow tables in Parquet files, in the compression that every reader knows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import Fault, InputError
from harness.paths import whole_file
from harness.store.export.files import refused


def write(table: pa.Table, path: Path) -> None:
    """Write an Arrow table of any columns to one file. Raises `CannotRun` where the disk forbids it."""
    try:
        with whole_file(path) as part:
            pq.write_table(table, part, compression="zstd")
    except OSError as error:
        raise refused(path, error) from None


def read(path: Path) -> pa.Table:
    """The Arrow table of one file, in memory. Raises `InputError` where it is none, or cut off."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            Fault(str(path), f"cannot be read as Parquet: {reason}", "export the run again")
        ) from None
