"""What a results file holds, read and changed."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from harness.store.database import Store
from harness.store.tables import TABLES

TABLE_NAMES = [kind.table for kind in TABLES]


def query(db: Path, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """A query's rows."""
    with Store.open_to_read(db) as store:
        return store.query(sql, values)[1]


def dictionaries(db: Path, sql: str, **values: Any) -> list[dict[str, Any]]:
    """A query's rows as dictionaries."""
    with Store.open_to_read(db) as store:
        names, rows = store.query(sql, values)
    return [dict(zip(names, row, strict=True)) for row in rows]


def rows_with(rows: Iterable[dict[str, Any]], **equal: Any) -> list[dict[str, Any]]:
    """Those rows that have these values."""
    return [row for row in rows if all(row[key] == value for key, value in equal.items())]


def rows_of(db: Path, run_id: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows, of one run or of all."""
    where = "" if run_id is None else f"WHERE run_id = '{run_id}'"
    with Store.open_to_read(db) as store:
        return {name: store.query(f"FROM {name} {where} ORDER BY ALL")[1] for name in TABLE_NAMES}


def changed_copy(db: Path, folder: Path, *statements: str) -> Path:
    """A copy of a results file, changed behind the harness' back."""
    copy = Path(shutil.copy(db, folder / "copy.duckdb"))
    with duckdb.connect(str(copy)) as connection:
        for sql in statements:
            connection.execute(sql)
    return copy
