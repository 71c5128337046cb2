"""A short look into a results file: for the shell, which completes words while somebody types."""

from pathlib import Path

import duckdb

from harness.errors import HarnessError
from harness.store import migrations
from harness.store.catalog import ForeignCatalog
from harness.store.database_file import check_path, connect
from harness.store.parts.layout import is_index
from harness.store.parts.views import connect_to_parts


def stored_runs(file: Path) -> list[tuple[str, str, str]]:
    """The id, spec and target of each run, newest first.

    There are none where the file is not there, is being written, or is no results file: nothing waits
    and nothing is migrated.
    """
    if not file.is_file():
        return []
    try:
        check_path(file)
        if is_index(file):
            with connect_to_parts(file) as connection:
                return _listed(connection)
        with connect(file, read_only=True) as connection:
            return [] if migrations.version_of(connection) is None else _listed(connection)
    except (duckdb.Error, ForeignCatalog, HarnessError):
        return []


def _listed(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    return connection.execute(
        "SELECT run_id, spec_name, target FROM main.runs ORDER BY run_id DESC"
    ).fetchall()
