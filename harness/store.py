"""The results file: DuckDB, one writer. Its SQL lies in `db/`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa

from harness.faults import CannotRun, Fault, InputError
from harness.places import bundled
from harness.records import Columns, Units

C = TypeVar("C", bound=Columns)
VERSION = 4


class Store:
    """An open results file; use as a context manager. Rows go in whole transactions."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, path: str | Path, *, create: bool = True) -> Self:
        """Open for writing, created with its tables where it is not there.

        Raises `CannotRun` where another process writes to it or it is no results file.
        """
        file = Path(path)
        if not create:
            _must_exist(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(str(file))
            connection.execute("SET TimeZone = 'UTC'")
            for name in ("schema.sql", "views.sql"):
                connection.execute(bundled("db", name).read_text(encoding="utf-8"))
        except (duckdb.Error, OSError) as error:
            raise _cannot_open(file, error) from None
        store = cls(connection, file)
        _, [(version,)] = store.query("SELECT max(version) FROM schema_version")
        if version != VERSION:
            connection.close()
            age, way = (
                ("a newer", "upgrade the harness, or name")
                if version > VERSION
                else ("an older", "name")
            )
            raise CannotRun(
                Fault(
                    str(file),
                    f"it was written by {age} harness (schema {version}, this one knows {VERSION})",
                    f"{way} another file with --db",
                )
            )
        return store

    @classmethod
    def open_to_read(cls, path: str | Path) -> Self:
        """Open a file that is there for queries that cannot write, read files or load extensions."""
        file = Path(path)
        _must_exist(file)
        try:
            connection = duckdb.connect(str(file), read_only=True)
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        except duckdb.Error as error:
            raise _cannot_open(file, error) from None
        return cls(connection, file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def commit(self, *columns: Columns) -> None:
        """Write all of these in one transaction. Raises `CannotRun` where nothing could be written."""
        try:
            with self._transaction():
                for table in columns:
                    if len(table):
                        self._insert(table)
        except duckdb.Error as error:
            raise CannotRun(
                Fault(
                    str(self.path),
                    f"the rows could not be written: {_first_line(error)}",
                    "make room on the disk; what was committed before is safe, and the same "
                    "command goes on from there",
                )
            ) from error

    def replace(self, run_id: str, *columns: Columns) -> None:
        """Put these in the place of the run's rows in the same tables, in one transaction."""
        with self._transaction():
            for kind in {type(table) for table in columns}:
                self._db.execute(f"DELETE FROM {kind.table} WHERE run_id = ?", [run_id])
            for table in columns:
                if len(table):
                    self._insert(table)

    def set_run(self, run_id: str, **values: object) -> None:
        """Change columns of a run's line."""
        assignments = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE runs SET {assignments} WHERE run_id = ?", [*values.values(), run_id]
        )

    def finished(self, run_id: str) -> set[str]:
        """The ids of the units whose rows are in."""
        return set(map(str, self.read(Units, run_id).unit_id))

    def read(self, kind: type[C], run_id: str | None = None, **equal: object) -> C:
        """A table's columns as numpy arrays, in a fixed order; `equal` restricts other columns."""
        wanted = {"run_id": run_id, **equal} if run_id is not None else dict(equal)
        where = " AND ".join(f"{name} = ?" for name in wanted) or "true"
        names = kind.names()
        found = self._db.sql(
            f"SELECT {', '.join(names)} FROM {kind.table} WHERE {where} ORDER BY ALL",
            params=list(wanted.values()),
        ).to_arrow_table()
        return kind(**{name: _array(found.column(name)) for name in names})

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names and rows of a query; raises `InputError` with DuckDB's own first line."""
        try:
            found = self._db.sql(sql)
            # By way of Arrow: DuckDB's own rows need pytz for a time with a zone.
            table = None if found is None else found.to_arrow_table()
        except duckdb.Error as error:
            raise InputError(
                Fault("query", _first_line(error), "the tables are described in db/README.md")
            ) from None
        if table is None:
            raise InputError(Fault("query", "it returns no rows", "write a SELECT or a FROM"))
        columns = [[_plain(value) for value in column.to_pylist()] for column in table.columns]
        return table.column_names, list(zip(*columns, strict=True))

    def _insert(self, table: Columns) -> None:
        rows = pa.table({name: _column(getattr(table, name)) for name in table.names()})
        self._db.register("incoming", rows)
        try:
            self._db.execute(f"INSERT INTO {table.table} BY NAME FROM incoming")
        finally:
            with suppress(duckdb.Error):  # in an aborted transaction, where the cause is known
                self._db.unregister("incoming")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.begin()
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()


def _column(values: Any) -> pa.Array:
    # NaN marks an estimate that does not exist: null in the store, so that no average includes it.
    return pa.array(values, from_pandas=True)


def _array(column: pa.ChunkedArray) -> Any:
    return column.to_numpy()


def _plain(value: Any) -> Any:
    """DuckDB's sums of integers come as decimals."""
    whole = isinstance(value, Decimal) and value == value.to_integral_value()
    return int(value) if whole else value


def _must_exist(file: Path) -> None:
    if not file.exists():
        raise CannotRun(
            Fault(str(file), "there are no results yet", "run `harness run voices` first")
        )


def _cannot_open(file: Path, error: Exception) -> CannotRun:
    message = _first_line(error)
    if "lock" in message.lower():
        return CannotRun(
            Fault(
                str(file),
                "another process has it open for writing",
                "wait until it is done, or name another file with --db",
            )
        )
    return CannotRun(
        Fault(str(file), f"cannot be opened: {message}", "name another file with --db")
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
