"""Each table of a results file as a view over Parquet parts, and a connection to those of a folder.

A view reads the files that the variable `parts_TABLE` lists, as this package sets it to those that it has
looked at; where nothing has set it, all that lie below the working directory, for any other client.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import duckdb

from harness.errors import CannotRun, Fault
from harness.store import migrations
from harness.store.database_file import connect
from harness.store.errors import AGAIN, first_line, query_error
from harness.store.parts.layout import BY_LAYER, LAYER, RUN, TABLE_NAMES
from harness.store.parts.run_parts import files_by_table, read_runs
from harness.store.tables.results import FeatureLabels
from harness.store.tables.runs import Registrations

Files = Mapping[str, Sequence[str]]  # the paths of parts, by the tables that they are of
# Of several runs' rows of the same thing: by what it is one, and which of them stands.
_ONE_OF: Mapping[str, tuple[str, str]] = {
    Registrations.table: ("spec_hash, target, origin, prompts_hash", "registered_at"),
    FeatureLabels.table: ("source, feature", "fetched_at DESC"),
}


def connect_to_parts(index: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory whose views read the parts beside an index, as they are now.

    It reads nothing else, and no SQL that lies in the folder. Raises `CannotRun`.
    """
    folder = index.resolve().parent
    check_folder_name(folder)
    files = files_by_table(read_runs(index))
    connection = connect(beside=folder)
    try:
        _make_views(connection, files)
    except duckdb.Error as error:
        connection.close()
        reason = query_error(index, error)
        if isinstance(reason, CannotRun):
            raise reason from None
        what = f"a part beside it has other columns: {first_line(error)}"
        raise CannotRun(Fault(str(index), what, AGAIN)) from None
    except BaseException:
        connection.close()
        raise
    return connection


def write_index(file: Path, folder: Path, files: Files) -> None:
    """A new DuckDB file of views alone, made from parts below a folder, of which every table has one.

    Raises `duckdb.Error`.
    """
    with connect(file, beside=folder) as connection:
        _make_views(connection, files)


def check_folder_name(folder: Path) -> None:
    """Raises `CannotRun` where DuckDB would take a folder's own path for a column's value or a pattern."""
    for sign in "=?":
        if sign in str(folder):
            meant = "the form of a column's value (name=value)" if sign == "=" else "a pattern (?)"
            what = f"a part of its path has {meant}"
            raise CannotRun(Fault(str(folder), what, f"put the parts into a folder without {sign}"))


def _make_views(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    for name, paths in files.items():
        # The first alone, as long as views are made: each is bound, which looks at every file.
        _set(connection, name, paths[:1])
    connection.execute(_table_views())
    _check_types(connection, files)
    migrations.make_views(connection)
    for name, paths in files.items():
        _set(connection, name, paths)


def _check_types(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    """Raises `CannotRun` where a part that the others are read like has columns of other types."""
    found = _types(connection)
    for name, columns in _columns().items():
        if wrong := sorted(set(columns) ^ set(found[name])):
            what = f"its column {wrong[0][0]} is of another type than in a results file"
            raise CannotRun(Fault(files[name][0], what, AGAIN))


def _set(connection: duckdb.DuckDBPyConnection, name: str, paths: Sequence[str]) -> None:
    connection.execute(f"SET VARIABLE parts_{name} = $paths", {"paths": list(paths)})


@cache
def _columns() -> Mapping[str, Sequence[tuple[str, str]]]:
    with connect() as scratch:
        migrations.create(scratch)
        return _types(scratch)


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """The names and types of each table's columns, or of the view's that stands for it."""
    columns: dict[str, list[tuple[str, str]]] = {name: [] for name in TABLE_NAMES}
    sql = (
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
        "AND list_contains($names, table_name) ORDER BY column_index"
    )
    for name, *column in connection.execute(sql, {"names": list(TABLE_NAMES)}).fetchall():
        columns[name].append((*column,))
    return columns


@cache
def _table_views() -> str:
    """SQL of the views that stand for the tables."""
    version = f"SELECT {migrations.VERSION} AS version, NULL::VARCHAR AS views"
    views = [f"CREATE VIEW schema_version AS {version}"]
    return ";\n".join(views + [_table_view(name, columns) for name, columns in _columns().items()])


def _table_view(name: str, columns: Sequence[tuple[str, str]]) -> str:
    layered = name in BY_LAYER
    pattern = f"{RUN}*/{name}/{f'{LAYER}*/' * layered}*.parquet"
    said = "'run_id': VARCHAR" + ", 'layer': INTEGER" * layered
    of = f"coalesce(getvariable('parts_{name}'), ['{pattern}'])"
    rows = f"read_parquet({of}, hive_partitioning = true, hive_types = {{{said}}})"
    listed = ", ".join(f'"{column}"' for column, _ in columns)
    if name not in _ONE_OF:
        return f"CREATE VIEW {name} AS SELECT {listed} FROM {rows}"
    key, order = _ONE_OF[name]
    return f"CREATE VIEW {name} AS SELECT DISTINCT ON ({key}) {listed} FROM {rows} ORDER BY {key}, {order}"
