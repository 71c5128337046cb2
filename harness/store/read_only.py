"""Which queries are answered: one statement that asks and changes nothing."""

import re
from collections.abc import Mapping
from functools import cache
from threading import Lock

import duckdb

from harness.errors import Fault, InputError
from harness.store import migrations
from harness.store.catalog import read_catalog
from harness.store.database_file import connect

# What asks; MULTI is DuckDB's word for PIVOT.
_ASKING = ("SELECT", "MULTI")
_EXPLAIN = re.compile(r"(?is)\s*EXPLAIN(\s+ANALYZE)?\b(\s*\([^)]*\))?")

# Makes a file's tables; a name in quotes has its own doubled.
_TABLES = """
SELECT unnest([
    format('CREATE SCHEMA IF NOT EXISTS "{}"', schema),
    format('CREATE TABLE IF NOT EXISTS "{}"."{}" ({})', schema, name, string_agg(
        format('"{}" {}', replace(column_name, '"', '""'), data_type), ', ' ORDER BY column_index
    ))
])
FROM (
    SELECT *, replace(schema_name, '"', '""') AS schema, replace(table_name, '"', '""') AS name
    FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
    WHERE database_name = current_database() AND NOT internal
)
GROUP BY schema, name
"""
_BINDING = Lock()  # two transactions cannot make tables of one name


def check_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises `InputError` where this is not one statement that asks, `duckdb.Error` where it is no SQL.

    A file that is open for writing is asked as well, so a connection that cannot write is not enough.
    """
    kinds = _statement_kinds(connection, sql)
    if len(kinds) != 1 or kinds[0] not in _ASKING:
        raise InputError(_fault(kinds))


def check_files(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]
) -> None:
    """Raises `duckdb.PermissionException` where a query reads a file, as bytes or text, say.

    DuckDB refuses all but the one that is open. So the query is bound where none is: in memory, to empty
    tables of the same names. What else is wrong with it, the file itself says.
    """
    while explains := _EXPLAIN.match(sql):
        sql = sql[explains.end() :]
    try:
        with _BINDING:
            _bind(connection, sql, parameters)
    except duckdb.PermissionException:
        raise
    except duckdb.Error:
        try:
            connection.execute(f"EXPLAIN {sql}", dict(parameters))
        except duckdb.Error:
            return
        # What it names is in the file alone, and so nobody knows what else it reads.
        raise duckdb.PermissionException("it can be bound to the file alone") from None


def _bind(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]
) -> None:
    """Bind a query to an empty database in memory with the tables of this one. Raises `duckdb.Error`."""
    (name,) = connection.execute("SELECT current_database()").fetchall()[0]
    with _empty(name).cursor() as scratch:
        scratch.execute(_use(name))
        scratch.begin()  # and never committed: the next file has other tables
        for (statement,) in connection.execute(_TABLES).fetchall():
            scratch.execute(statement)
        scratch.execute(f"EXPLAIN {sql}", dict(parameters))


@cache
def _empty(name: str) -> duckdb.DuckDBPyConnection:
    """A database of a name in memory, with our tables and views."""
    connection = connect()
    connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {_quoted(name)}")
    connection.execute(_use(name))
    migrations.create(connection)
    migrations.refresh_views(connection, read_catalog(connection))
    return connection


def _use(name: str) -> str:
    return f"USE {_quoted(name)}.main"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def parse(connection: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.Statement]:
    """The statements of a text. Raises `InputError` for what is no text, `duckdb.Error` for no SQL."""
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise InputError(Fault("query", "it is not in UTF-8", "write it in UTF-8")) from None
    return connection.extract_statements(sql)


def _statement_kinds(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """What each statement is; of what EXPLAIN explains, what that is: with ANALYZE it is run."""
    kinds = [statement.type.name for statement in parse(connection, sql)]
    explains = _EXPLAIN.match(sql)
    if kinds == ["EXPLAIN"] and explains:
        return _statement_kinds(connection, sql[explains.end() :])
    return kinds


def _fault(kinds: list[str]) -> Fault:
    if not kinds:
        return Fault("query", "it is empty", "write a SELECT or a FROM")
    if len(kinds) > 1:
        return Fault("query", f"it is {len(kinds)} statements", "write one at a time")
    what = f"{kinds[0].replace('_', ' ')} is refused: the results file is only read here"
    return Fault("query", what, "write a SELECT or a FROM")
