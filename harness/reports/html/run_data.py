"""What a report reads: the saved queries, and tables of one run."""

from collections.abc import Iterable, Mapping
from typing import Any

from harness.store.export.query_text import finite
from harness.store.interface import ReadStore
from harness.store.queries import saved_queries
from harness.store.tables.base import Columns

Run = Mapping[str, Any]
Row = dict[str, Any]


def asked(store: ReadStore, name: str, **parameters: object) -> list[Row]:
    """The rows of a saved query; what is not finite is None."""
    query = saved_queries()[name]
    given = {key: str(value) for key, value in parameters.items()}
    names, rows = store.query(query.sql, query.filled(given))
    return [dict(zip(names, map(finite, row), strict=True)) for row in rows]


def known(rows: Iterable[Row], *names: str) -> list[Row]:
    """The rows that have a value under each of these names: nothing else can be drawn."""
    return [row for row in rows if all(row[name] is not None for name in names)]


def rows_of(store: ReadStore, kind: type[Columns], run_id: str, **equal: object) -> list[Row]:
    """A table's rows of one run; what is not finite is None."""
    return [finite(row) for row in store.read(kind, run_id, **equal).rows()]
