"""Whether what we name in a results file is what we put there: our tables, and nobody else's SQL.

A view with the name of a table, a macro with the name of one of DuckDB's functions and a trigger are run
by whoever asks the file anything. So they are looked for first, by DuckDB's functions under their full
names, which nothing in a file can shadow, and with no other function and no operator.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from harness.errors import first_few
from harness.paths import bundled
from harness.store.database_file import connect

Column = tuple[str, str, str | None, bool]  # its name, type and default, and whether it may be null


_OTHER = "name another file with --db"
_UNLIKE = "take its runs from where it was made, with `harness export` and `harness import`"


class ForeignCatalog(ValueError):
    """What is in a file is not what this package puts there: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str = _OTHER) -> None:
        super().__init__(what)
        self.remedy = remedy


@dataclass(frozen=True)
class Catalog:
    """What is in a file, by names in lower case: the SQL of views and macros, the columns of tables."""

    views: dict[str, str]
    macros: dict[str, tuple[object, ...]]
    tables: dict[str, frozenset[Column]]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it, as in a new file."""
        return not (self.views or self.macros or self.tables)


def read_catalog(connection: duckdb.DuckDBPyConnection) -> Catalog:
    """What is in a file. Nothing of it is run by this."""
    views = _ask(connection, "duckdb_views", "view_name, sql")
    macros = _ask(connection, "duckdb_functions", "function_name, parameters, macro_definition")
    columns: dict[str, set[Column]] = {}
    wanted = "table_name, schema_name, column_name, data_type, column_default, is_nullable"
    tables = {
        name.lower()
        for name, schema in _ask(connection, "duckdb_tables", "table_name, schema_name")
        if schema == "main"
    }
    for name, schema, column, kind, default, nullable in _ask(connection, "duckdb_columns", wanted):
        if schema == "main" and name.lower() in tables:
            columns.setdefault(name.lower(), set()).add((column, kind, default, nullable))
    return Catalog(
        {name.lower(): sql for name, sql in views},
        {name.lower(): (*map(str, rest),) for name, *rest in macros},
        {name: frozenset(found) for name, found in columns.items()},
    )


def check_names(connection: duckdb.DuckDBPyConnection, found: Catalog) -> None:
    """Raises `ForeignCatalog` where something in a file would be run that is not ours by its name."""
    ours = our_catalog()
    _refuse("macro", found.macros.keys() - ours.macros.keys())
    _refuse("view", found.views.keys() - ours.views.keys())
    _refuse("table", found.tables.keys() & ours.views.keys())
    _refuse("trigger", _triggers(connection))


def check_tables(found: Catalog) -> None:
    """Raises `ForeignCatalog` where a table of ours is not there, or is another one."""
    for name, columns in our_catalog().tables.items():
        if name not in found.tables:
            raise ForeignCatalog(f"it has no table {name}", _UNLIKE)
        if wrong := columns ^ found.tables[name]:
            column = min(column for column, *_ in wrong)
            raise ForeignCatalog(f"its table {name} has another column {column}", _UNLIKE)


def has_our_views(found: Catalog) -> bool:
    """Whether each of our views and macros says what it says today."""
    ours = our_catalog()
    return found.views == ours.views and found.macros == ours.macros


@cache
def our_catalog() -> Catalog:
    """What is in a new file."""
    with connect() as scratch:
        for name in ("schema", "views", "macros"):
            scratch.execute(bundled("db", f"{name}.sql").read_text(encoding="utf-8"))
        return read_catalog(scratch)


def _ask(
    connection: duckdb.DuckDBPyConnection, function: str, columns: str, *, internal: bool = False
) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        f"SELECT {columns}, internal FROM system.main.{function}()"
    ).fetchall()
    return [row[:-1] for row in rows if row[-1] is internal]


def _triggers(connection: duckdb.DuckDBPyConnection) -> set[str]:
    known = _ask(connection, "duckdb_functions", "function_name", internal=True)
    if ("duckdb_triggers",) not in known:  # DuckDB has them since 2.0
        return set()
    rows = connection.execute("SELECT trigger_name FROM system.main.duckdb_triggers()").fetchall()
    return {name for (name,) in rows}


def _refuse(kind: str, names: Iterable[str]) -> None:
    if names := sorted(names):
        what = f"it has a {kind} that would be run and is not ours: {first_few(names)}"
        raise ForeignCatalog(
            what, f"look at it with DuckDB's own command line, and drop the {kind}"
        )
