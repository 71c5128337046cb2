"""The tables of a results file, brought up to date: numbered migrations, after a backup."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from harness.errors import CannotRun, Fault, InputError
from harness.paths import bundled, whole_file
from harness.store.catalog import (
    Catalog,
    ForeignCatalog,
    check_names,
    check_tables,
    has_our_views,
    read_catalog,
)
from harness.store.database_file import connect
from harness.store.errors import first_line

VERSION = 14


def version_of(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The schema's version; None of a file without tables. Raises `ForeignCatalog`."""
    return checked_catalog(connection)[0]


def checked_catalog(connection: duckdb.DuckDBPyConnection) -> tuple[int | None, Catalog]:
    """The schema's version, as `version_of`, and what is in the file.

    Raises `ForeignCatalog` where something in the file is not what this package puts there.
    """
    found = read_catalog(connection)
    if "schema_version" not in found.tables:
        if found.is_empty:
            return None, found
        names = sorted(found.tables) or sorted({**found.views, **found.macros})
        kind = "tables" if found.tables else "views and macros"
        raise ForeignCatalog(f"it is no results file: it has the {kind} {', '.join(names[:3])}")
    try:
        rows = connection.execute("SELECT version FROM main.schema_version").fetchall()
    except duckdb.Error:  # it has no such column
        rows = []
    versions = [version for (version,) in rows if isinstance(version, int)]
    if not versions or min(versions) < 1:
        raise ForeignCatalog("it is no results file: its schema_version has no version")
    version = max(versions)
    if version <= VERSION:  # what a newer one has is not known here, and it is refused
        check_names(connection, found)
    if version == VERSION:
        check_tables(found)
    return version, found


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
    with connect() as scratch:  # in memory, where the SQL of the migrations can run
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


def refresh_views(connection: duckdb.DuckDBPyConnection, found: Catalog) -> None:
    """Put in today's views and macros, where others were found; in the caller's transaction."""
    # Views are no part of the version: another harness of the same schema may have put in its own.
    if not has_our_views(found):
        make_views(connection)


def make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Put in today's views and macros, over tables or what stands for them."""
    connection.execute(_views())


def shadow_views(connection: duckdb.DuckDBPyConnection, found: Catalog) -> None:
    """Let a connection that only reads use today's views and macros, where others were found."""
    if not has_our_views(found):
        connection.execute(re.sub("(?m)^CREATE OR REPLACE", "CREATE OR REPLACE TEMP", _views()))


def _views() -> str:
    return _sql("views.sql") + _sql("macros.sql")


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
