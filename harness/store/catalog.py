"""Whether what we name in a results file is what we put there: our tables, and nobody else's SQL.

A view with the name of a table, a macro with the name of one of DuckDB's functions and a trigger are run
by whoever asks the file anything. So they are looked for first, by DuckDB's functions under their full
names, which nothing in a file can shadow, and with no other function and no operator.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from harness.errors import first_few
from harness.paths import bundled
from harness.store.database_file import connect

Column = tuple[str, str, str | None, bool]  # its name, type and default, and whether it may be null

# What says of a table which rows it may hold, and runs nothing for it.
_KEYS = ("NOT NULL", "PRIMARY KEY", "UNIQUE", "FOREIGN KEY")
_COLUMNS = re.compile(r"""\[[\w"', ]*\]""")  # as DuckDB shows an index of columns alone
_OTHER = "name another file with --db"
_UNLIKE = "take its runs from where it was made, with `harness export` and `harness import`"


class ForeignCatalog(ValueError):
    """What is in a file is not what this package puts there: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str = _OTHER) -> None:
        super().__init__(what)
        self.remedy = remedy


@dataclass(frozen=True)
class Catalog:
    """What is in a file, by names in lower case: the SQL of views and macros, the columns of tables.

    Names outside of the schema `main` begin with their schema's; of tables there are only those in it.
    """

    views: dict[str, str]
    macros: dict[str, frozenset[tuple[str, ...]]]  # one has a text for each list of its parameters
    tables: dict[str, frozenset[Column]]
    keys: dict[str, frozenset[str]]  # of a table, each that has one
    running: frozenset[str]  # tables of which an expression is run when a row is written or read

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it, as in a new file."""
        return not (self.views or self.macros or self.tables)


def read_catalog(connection: duckdb.DuckDBPyConnection) -> Catalog:
    """What is in a file. Nothing of it is run by this."""
    views = _own(connection, "duckdb_views", "schema_name, view_name, sql")
    wanted = "function_type, schema_name, function_name, parameters, macro_definition"
    macros: dict[str, set[tuple[str, ...]]] = {}
    for kind, schema, name, *text in _own(connection, "duckdb_functions", wanted):
        # A macro of values can have the name of one of rows, and ours are all of rows.
        shown = _name(schema, name) + ("" if kind == "table_macro" else " (of values)")
        macros.setdefault(shown, set()).add((*map(str, text),))
    in_main = "table_name, schema_name"
    tables: dict[str, set[Column]] = {
        name.lower(): set()
        for name, schema in _own(connection, "duckdb_tables", in_main)
        if schema == "main"
    }
    wanted = f"{in_main}, column_name, data_type, column_default, is_nullable"
    for name, schema, *column in _own(connection, "duckdb_columns", wanted):
        if schema == "main" and name.lower() in tables:  # and of no view
            tables[name.lower()].add((*column,))
    keys, running = _constraints(connection)
    computed = {name for name, columns in tables.items() if any(column[2] for column in columns)}
    return Catalog(
        {_name(schema, name): sql for schema, name, sql in views},
        {name: frozenset(texts) for name, texts in macros.items()},
        {name: frozenset(columns) for name, columns in tables.items()},
        {name: frozenset(texts) for name, texts in keys.items()},
        frozenset(running | computed),
    )


def _constraints(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, set[str]], set[str]]:
    """The keys of each table in `main`, and the tables with a check or an index of an expression."""
    keys: dict[str, set[str]] = {}
    running = set()
    of = "schema_name, table_name"
    wanted = f"{of}, constraint_type, constraint_text"
    for schema, name, kind, text in _rows(connection, "duckdb_constraints()", wanted):
        if schema == "main" and kind not in _KEYS:
            running.add(name.lower())
        elif schema == "main" and kind != "NOT NULL":  # which the columns say
            keys.setdefault(name.lower(), set()).add(text)
    for schema, name, text in _rows(connection, "duckdb_indexes()", f"{of}, expressions"):
        if schema == "main" and not _COLUMNS.fullmatch(text):
            running.add(name.lower())
    return keys, running


def check_names(connection: duckdb.DuckDBPyConnection, found: Catalog) -> None:
    """Raises `ForeignCatalog` where something in a file would be run that is not ours by its name."""
    ours = our_catalog()
    _refuse("macro", found.macros.keys() - ours.macros.keys())
    _refuse("view", found.views.keys() - ours.views.keys())
    _refuse("table", found.tables.keys() & ours.views.keys())
    _refuse("trigger", _triggers(connection))
    _refuse("default, check or index in a table", found.running & ours.tables.keys())


def check_tables(found: Catalog) -> None:
    """Raises `ForeignCatalog` where a table of ours is not there, or is another one."""
    for name, columns in our_catalog().tables.items():
        if name not in found.tables:
            raise ForeignCatalog(f"it has no table {name}", _UNLIKE)
        if wrong := columns ^ found.tables[name]:
            column = min(column for column, *_ in wrong)
            raise ForeignCatalog(f"its table {name} has another column {column}", _UNLIKE)
        if our_catalog().keys.get(name) != found.keys.get(name):
            raise ForeignCatalog(f"its table {name} has other keys", _UNLIKE)


def has_our_views(found: Catalog) -> bool:
    """Whether each of our views and macros says what it says today."""
    ours = our_catalog()
    return found.views == ours.views and found.macros == ours.macros


@cache
def our_catalog() -> Catalog:
    """What is in a new file that was closed and is opened again.

    DuckDB 2 says a chain of UNION in a macro with other parentheses from then on. Where no file can be
    made, as it is in a new one.
    """
    try:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "new.duckdb"
            with connect(file) as scratch:
                _fill(scratch)
            with connect(file, read_only=True) as scratch:
                return read_catalog(scratch)
    except (OSError, duckdb.Error):
        with connect() as scratch:
            _fill(scratch)
            return read_catalog(scratch)


def _fill(scratch: duckdb.DuckDBPyConnection) -> None:
    for name in ("schema", "views", "macros"):
        scratch.execute(bundled("db", f"{name}.sql").read_text(encoding="utf-8"))


def _own(
    connection: duckdb.DuckDBPyConnection, function: str, columns: str
) -> list[tuple[Any, ...]]:
    """What the file has of a kind, and not DuckDB itself; NOT is a word of SQL that no macro can be."""
    return _rows(connection, f"{function}() WHERE NOT internal", columns)


def _rows(connection: duckdb.DuckDBPyConnection, rest: str, columns: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM system.main.{rest}").fetchall()


def _name(schema: str, name: str) -> str:
    return (name if schema == "main" else f"{schema}.{name}").lower()


def _triggers(connection: duckdb.DuckDBPyConnection) -> set[str]:
    try:
        return {name for (name,) in _rows(connection, "duckdb_triggers()", "trigger_name")}
    except duckdb.CatalogException:  # DuckDB has them since 2.0
        return set()


def _refuse(kind: str, names: Iterable[str]) -> None:
    if names := sorted(names):
        what = f"it has a {kind} that would be run and is not ours: {first_few(names)}"
        raise ForeignCatalog(
            what,
            f"upgrade the harness if a newer one made it; else drop the {kind} in DuckDB's command line",
        )
