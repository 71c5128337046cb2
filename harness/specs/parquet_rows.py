"""The rows of a Parquet prompt file, as the objects that the lines of a JSON one would be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError

PARQUET = ".parquet"
MOST = 10_000_000  # rows
AT_ONCE = 4_096  # rows


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row by its number, from 1, without what is null in it; a batch at a time is held.

    Columns are called as the fields of a line: `tags` is a struct or a map, and a chat a list of structs.
    Raises `InputError` where it is no Parquet file, or a larger one than a prompt file can be.
    """
    # Loaded where there is a file to be read with it: the harness starts without tables.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not path.is_file():
            what = "it is no regular file" if path.exists() else "cannot be read: no such file"
            raise InputError(Fault(str(path), what, "check the path"))
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST:
                what = f"has more than {MOST:,} rows"
                raise InputError(Fault(str(path), what, "name the file that is meant, or split it"))
            maps = [one.name for one in file.schema_arrow if pa.types.is_map(one.type)]
            number = 0
            for batch in file.iter_batches(AT_ONCE):
                for row in batch.to_pylist(maps_as_pydicts="lossy" if maps else None):
                    number += 1
                    yield number, _without_nulls(row)
    except (pa.ArrowException, OSError) as error:
        what = f"not Parquet: {str(error).splitlines()[0]}"
        raise InputError(Fault(str(path), what, "write it as Parquet, or as JSON lines")) from None


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A row without null columns, and the tags that are."""
    there = {name: value for name, value in row.items() if value is not None}
    if isinstance(tags := there.get("tags"), dict):
        there["tags"] = {name: value for name, value in tags.items() if value is not None}
    return there
