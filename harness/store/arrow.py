"""Columns of the store's tables as Arrow tables, which DuckDB takes in without copying rows."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.store.tables.columns import Columns


def arrow_tables(columns: Iterable[Columns]) -> dict[str, pa.Table]:
    """One Arrow table for each table of the store that has rows, by name, however many parts it has."""
    parts: dict[str, list[pa.Table]] = defaultdict(list)
    for table in columns:
        if len(table):
            parts[table.table].append(
                pa.table({name: _array(getattr(table, name)) for name in table.names()})
            )
    # Permissive: a column that is null throughout one part has its type from another.
    return {
        name: pa.concat_tables(tables, promote_options="permissive")
        for name, tables in parts.items()
    }


def pieces(columns: Iterable[Columns], most: int) -> Iterator[list[Columns]]:
    """The parts in their order, cut and put together so that at most so many rows are taken at once."""
    held: list[Columns] = []
    room = most
    for table in columns:
        for start in range(0, len(table), most):
            part = table if len(table) <= most else table.between(start, start + most)
            if len(part) > room:
                yield held
                held, room = [], most
            held.append(part)
            room -= len(part)
    yield held


def numpy_columns(rows: pa.Table) -> dict[str, NDArray[Any]]:
    """Each column as a numpy array, (n_rows,); what Arrow holds of it is let go of with the next.

    A text that is in many rows, as a run's id is in all, is one object of Python's.
    """
    columns = {}
    for name in rows.column_names:
        columns[name] = _numpy(rows.column(name))
        rows = rows.drop_columns(name)
    return columns


def release() -> None:
    """Give back what Arrow keeps of memory that it no longer needs: as much as a large table took."""
    pa.default_memory_pool().release_unused()


def _array(values: Any) -> pa.Array | pa.ChunkedArray:
    """A column, shape (n_rows,), as an Arrow array.

    NaN marks an estimate that does not exist: null in the store, so that no average includes it.
    """
    if isinstance(values, pa.ChunkedArray):  # as it was read from a file
        return values
    texts = isinstance(values, list) and isinstance(values[0], str)
    if texts and values.count(values[0]) == len(values):
        # One text for all rows, as a run's id, is most of what there is to convert.
        return pa.repeat(values[0], len(values))
    return pa.array(values, from_pandas=True)


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    if not pa.types.is_string(column.type):
        return column.to_numpy()
    coded = column.dictionary_encode().unify_dictionaries()
    texts = coded.chunk(0).dictionary.to_pylist() if coded.num_chunks else []
    # Nulls are at -1, the last.
    at = [np.asarray(chunk.indices.fill_null(-1)) for chunk in coded.chunks]
    return np.array([*texts, None], object)[np.concatenate([np.empty(0, np.intp), *at])]
