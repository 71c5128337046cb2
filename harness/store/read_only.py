"""Which queries are answered: one statement that asks and changes nothing."""

import re
from collections.abc import Mapping
from functools import cache

import duckdb

from harness.errors import Fault, InputError
from harness.store import migrations
from harness.store.database_file import connect

# What asks; MULTI is DuckDB's word for PIVOT.
_ASKING = ("SELECT", "MULTI")
_EXPLAIN = re.compile(r"(?is)\s*EXPLAIN(\s+ANALYZE)?\b(\s*\([^)]*\))?")


def check_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises `InputError` where this is not one statement that asks, `duckdb.Error` where it is no SQL.

    A file that is open for writing is asked as well, so a connection that cannot write is not enough.
    """
    kinds = _statement_kinds(connection, sql)
    if len(kinds) != 1 or kinds[0] not in _ASKING:
        raise InputError(_fault(kinds))


def check_files(sql: str, parameters: Mapping[str, object]) -> None:
    """Raises `duckdb.PermissionException` where a query reads a file, as bytes or text, say.

    DuckDB refuses all but the one that is open. So the query is bound where none is: in memory, to empty
    tables of the same names. What else is wrong with it, the file itself says.
    """
    while explains := _EXPLAIN.match(sql):
        sql = sql[explains.end() :]
    with _empty().cursor() as connection:
        try:
            connection.execute(f"EXPLAIN {sql}", dict(parameters))
        except duckdb.PermissionException:
            raise
        except duckdb.Error:
            return


@cache
def _empty() -> duckdb.DuckDBPyConnection:
    connection = connect()
    migrations.create(connection)
    migrations.refresh_views(connection)
    return connection


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
