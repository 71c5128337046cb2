"""The tables of a results file, brought up to date: numbered migrations, after a backup."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from harness.errors import CannotRun, Fault, InputError
from harness.paths import bundled, whole_file
from harness.store.errors import first_line

VERSION = 7


def version_of(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The schema's version; None of a file without tables. Raises `ValueError` for a stranger's."""
    tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    if "schema_version" in tables:
        (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchall()[0]
        return int(version)
    if tables:
        raise ValueError(", ".join(sorted(tables)[:3]))
    return None


def check_version(file: Path, version: int) -> None:
    """Raises `CannotRun` where a newer harness wrote the file."""
    if version > VERSION:
        raise CannotRun(
            Fault(
                str(file),
                f"it was written by a newer harness (schema {version}, this one knows {VERSION})",
                "upgrade the harness, or name another file with --db",
            )
        )


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """The tables of a new file."""
    connection.execute(_sql("schema.sql"))
    connection.execute("INSERT INTO schema_version VALUES (?, NULL)", [VERSION])


def migrate(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Take the tables from a version to today's, in the caller's transaction."""
    for number in range(version + 1, VERSION + 1):
        connection.execute(_sql("migrations", f"{number:04}.sql"))
    # Not in the migrations: which columns this table has is itself a matter of the version.
    connection.execute("INSERT INTO schema_version (version) VALUES (?)", [VERSION])


def upgrade_tables(tables: Mapping[str, pa.Table], version: int) -> dict[str, pa.Table]:
    """Arrow tables of an older schema, by name, as today's. Raises `InputError` where they are none."""
    with duckdb.connect() as scratch:  # in memory, where the SQL of the migrations can run
        # An export has no such table, and migrations write to it.
        scratch.execute("CREATE TABLE schema_version (version INTEGER, views VARCHAR)")
        try:
            for name, rows in tables.items():
                scratch.register("incoming", rows)
                scratch.execute(f"CREATE TABLE {name} AS FROM incoming")
                scratch.unregister("incoming")
            migrate(scratch, version)
        except duckdb.Error as error:
            what = f"these are no tables of schema {version}: {first_line(error)}"
            raise InputError(Fault("import", what, "export the run again")) from None
        names = [name for (name,) in scratch.execute("SHOW TABLES").fetchall()]
        return {
            name: scratch.sql(f"FROM {name}").to_arrow_table()
            for name in names
            if name != "schema_version"
        }


def refresh_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Put in today's views and macros, where the file has others; in the caller's transaction."""
    # Views are no part of the version: another harness of the same schema may have put in its own.
    text = _sql("views.sql") + _sql("macros.sql")
    digest = hashlib.sha256(text.encode()).hexdigest()
    latest = "version = (SELECT max(version) FROM schema_version)"
    ((there,),) = connection.execute(f"SELECT views FROM schema_version WHERE {latest}").fetchall()
    if there != digest:
        connection.execute(text)
        connection.execute(f"UPDATE schema_version SET views = ? WHERE {latest}", [digest])


def back_up(file: Path, version: int) -> Path:
    """Copy a closed file of an older version; returns the copy. Raises `OSError`."""
    copy = file.with_name(f"{file.stem}.schema-{version}{file.suffix}")
    number = 1
    while copy.exists():
        number += 1
        copy = file.with_name(f"{file.stem}.schema-{version}-{number}{file.suffix}")
    with whole_file(copy) as part:  # half a copy must not be taken for a backup
        shutil.copy2(file, part)
    return copy


def _sql(*path: str) -> str:
    return bundled("db", *path).read_text(encoding="utf-8")
