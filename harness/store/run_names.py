"""A short look into a results file: for the shell, which completes words while somebody types."""

from pathlib import Path

import duckdb

from harness.errors import HarnessError
from harness.store import migrations
from harness.store.catalog import ForeignCatalog
from harness.store.database_file import check_path, connect


def stored_runs(file: Path) -> list[tuple[str, str, str]]:
    """The id, spec and target of each run, newest first.

    There are none where the file is not there, is being written, or is no results file: nothing waits
    and nothing is migrated.
    """
    if not file.is_file():
        return []
    try:
        check_path(file)
        with connect(file, read_only=True) as connection:
            if migrations.version_of(connection) is None:
                return []
            return connection.execute(
                "SELECT run_id, spec_name, target FROM main.runs ORDER BY run_id DESC"
            ).fetchall()
    except (duckdb.Error, ForeignCatalog, HarnessError):
        return []
