"""Arrow tables in Parquet files, in the compression that every reader knows."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import Fault, InputError
from harness.paths import whole_file
from harness.store.export.files import refused

MOST_ROWS, MOST_COLUMNS, MOST_BYTES = 200_000_000, 200, 8 << 30  # of one table of a run
BATCH = 65_536  # rows that are decoded at a time
PART_ROWS = 2**23  # of one part of a run: what is held of it, when it is taken back, is below 1 GiB


def write(table: pa.Table, path: Path) -> None:
    """Write an Arrow table of any columns to one file. Raises `CannotRun` where the disk forbids it."""
    try:
        with whole_file(path) as part:
            pq.write_table(table, part, compression="zstd")
    except OSError as error:
        raise refused(path, error) from None


def write_parts(
    batches: pa.RecordBatchReader, names: Iterator[Path], ordered: str | None
) -> list[Path]:
    """Write batches to files of at most `PART_ROWS` rows, of which there is at least one; returns them.

    A batch is a group of rows that a reader can leave out; of a column of integers by which they are
    `ordered` only differences are stored. Raises `CannotRun` where the disk forbids it.
    """
    encodings = {one.name: "BYTE_STREAM_SPLIT" for one in batches.schema if _is_float(one.type)}
    encodings |= {ordered: "DELTA_BINARY_PACKED"} if ordered else {}
    options = {
        "compression": "zstd",
        "column_encoding": encodings,
        "use_dictionary": [name for name in batches.schema.names if name not in encodings],
    }
    written: list[Path] = []
    batch = next(batches, None)
    while batch is not None or not written:
        path = next(names)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(path, batches.schema, **options) as part:
                rows = 0
                while batch is not None and rows < PART_ROWS:
                    part.write_batch(batch)
                    rows += batch.num_rows
                    batch = next(batches, None)
        except OSError as error:
            raise refused(path, error) from None
        written.append(path)
    return written


def read(path: Path) -> pa.Table:
    """The Arrow table of one file, in memory.

    Raises `InputError` where it is none, or cut off, or more than `MOST_ROWS` or `MOST_BYTES`: a file
    of a few bytes can stand for more than any memory.
    """
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS or file.metadata.num_columns > MOST_COLUMNS:
                raise _too_large(path)
            batches, size = [], 0
            for batch in file.iter_batches(BATCH):
                size += batch.nbytes
                if size > MOST_BYTES:
                    raise _too_large(path)
                batches.append(batch)
            return pa.Table.from_batches(batches, file.schema_arrow)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            Fault(str(path), f"cannot be read as Parquet: {reason}", "export the run again")
        ) from None


def _is_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind))


def _too_large(path: Path) -> InputError:
    what = f"it holds more than {MOST_ROWS:,} rows or {MOST_BYTES >> 30} GiB"
    return InputError(Fault(str(path), what, "name the export of a run"))
