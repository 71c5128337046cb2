"""Rows in and out of a results file, in whole transactions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, Self

import duckdb
import pyarrow as pa
from numpy.typing import NDArray

from harness.errors import CannotRun, Say
from harness.store.arrow import arrow_tables, numpy_columns, pieces, release
from harness.store.connection import connect_to_read, connect_to_write
from harness.store.database_file import check_folder, check_path, must_exist
from harness.store.errors import first_line, interrupts, not_tables, query_errors, writing_error
from harness.store.interface import ColumnsT, Given
from harness.store.read_only import check_files, check_query, parse
from harness.store.snapshot import snapshot
from harness.store.tables import TABLES
from harness.store.tables.columns import Columns
from harness.store.tables.results import FeatureLabels
from harness.store.tables.runs import Registrations, Units
from harness.store.values import python_rows

ROWS_AT_ONCE = 100_000  # of a statement
LARGE = 2**25  # bytes
_WRONG_ROWS = (duckdb.BinderException, duckdb.ConstraintException, duckdb.ConversionException)


class Store(AbstractContextManager["Store"]):
    """An open results file; use as a context manager. Rows go in whole transactions."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, resources: ExitStack | None = None
    ) -> None:
        self._db = connection
        self._resources = resources or ExitStack()
        # DuckDB's connection is not for two threads at a time, and every worker that is served has one.
        self._lock = RLock()
        self._in_transaction = False
        self.path = path

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        create: bool = True,
        wait: float = 0.0,
        say: Say = lambda _: None,
    ) -> Self:
        """Open for writing; created with its tables where it is not there, migrated where it is old.

        Raises `CannotRun` where another process still writes to it after `wait` seconds, where it is
        no results file or a newer one, and where the disk does not let it.
        """
        file = Path(path)
        if not create:
            must_exist(file)
        return cls(connect_to_write(file, wait, say), file)

    @staticmethod
    def probe(path: str | Path, *, wait: float = 0.0, say: Say = lambda _: None) -> None:
        """Find out now what `open` would refuse hours later; creates nothing. Raises `CannotRun`."""
        file = Path(path)
        check_path(file)
        if file.exists():
            connect_to_write(file, wait, say).close()
        else:
            check_folder(file)

    @classmethod
    def open_to_read(
        cls, path: str | Path, *, say: Say = lambda _: None, memory: str | None = None
    ) -> Self:
        """Open a file that is there for queries that cannot write, read files or load extensions.

        Any number of processes can, while none writes. `memory` is as of `connect`. Raises `CannotRun`.
        """
        file = Path(path)
        return cls(connect_to_read(file, say, memory=memory), file)

    @classmethod
    def open_snapshot(
        cls, path: str | Path, *, say: Say = lambda _: None, memory: str | None = None
    ) -> Self:
        """Open a copy of the file as of its last commit, to read while another process writes.

        Raises `CannotRun`.
        """
        with ExitStack() as resources:
            copy = resources.enter_context(snapshot(Path(path)))
            db = connect_to_read(copy, say, keep=False, memory=memory)
            return cls(db, Path(path), resources.pop_all())

    def __exit__(self, *_: object) -> None:
        with self._resources:
            self._db.close()

    def commit(self, *columns: Columns) -> None:
        """Write all of these in one transaction. Raises `CannotRun` where nothing could be written."""
        with self._transaction():
            self._insert(columns)

    def replace(self, run_id: str, *columns: Columns, **values: object) -> None:
        """Put these in the place of the run's rows in the same tables, in one transaction.

        `values` are columns of the run's line that change with them. Raises `CannotRun`.
        """
        with self._transaction():
            for kind in {type(table) for table in columns}:
                self._db.execute(f"DELETE FROM {kind.table} WHERE run_id = ?", [run_id])
            self._insert(columns)
            if values:
                self._update(run_id, values)

    def put_labels(self, labels: FeatureLabels, *, overwrite: bool = True) -> None:
        """Write labels, which belong to no run; those that are there already stay unless `overwrite`.

        Raises `CannotRun`.
        """
        with self._transaction():
            self._insert([labels], "INSERT OR REPLACE" if overwrite else "INSERT OR IGNORE")

    def put_registrations(self, rows: Registrations) -> None:
        """Put these in the place of all that are registered. Raises `CannotRun`."""
        with self._transaction():
            self._db.execute(f"DELETE FROM {Registrations.table}")
            self._insert([rows])

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that the block writes goes in, or none of it. Raises `CannotRun`."""
        with self._transaction():
            yield

    def insert(self, tables: Mapping[str, pa.Table]) -> None:
        """Write Arrow tables, by the names of the store's, in one transaction.

        Raises `CannotRun`, and `InputError` where they are no tables of today's schema.
        """
        for name, rows in tables.items():
            columns = {column[0] for column in self.query(f"DESCRIBE {name}")[1]}
            if wrong := columns ^ set(rows.column_names):
                raise not_tables(f"{name} should have other columns: see '{min(wrong)}'")
        try:
            with self._transaction():
                for name, rows in tables.items():
                    self._insert_arrow(name, rows)
        except CannotRun as error:
            if isinstance(error.__cause__, _WRONG_ROWS):
                raise not_tables(first_line(error.__cause__)) from None
            raise

    def set_run(self, run_id: str, **values: object) -> None:
        """Change columns of a run's line. Raises `CannotRun`."""
        with self._transaction():
            self._update(run_id, values)

    def finished(self, run_id: str) -> set[str]:
        """The ids of the units whose rows are in."""
        return set(map(str, self.read(Units, run_id).unit_id))

    def read(self, kind: type[ColumnsT], run_id: str | None = None, **equal: object) -> ColumnsT:
        """A table's columns as numpy arrays of shape (n_rows,); nulls of numbers are NaN.

        `run_id` and `equal` keep the rows whose columns have these values. The rows are ordered by
        all of their columns, so that what is computed from them has one order. Raises `CannotRun`
        where the file cannot be read.
        """
        wanted = {"run_id": run_id, **equal} if run_id is not None else dict(equal)
        where = " AND ".join(f"{name} = ${name}" for name in wanted) or "true"
        names = kind.names()
        sql = f"SELECT {', '.join(names)} FROM {kind.table} WHERE {where} ORDER BY ALL"
        return kind(**self.arrays(sql, wanted))

    def tables(self, run_id: str) -> Iterator[tuple[str, pa.Table]]:
        """Every table's name and its rows of a run as an Arrow table, one at a time: they may be large.

        Raises `CannotRun`.
        """
        for kind in TABLES:
            yield kind.table, self.table(f"FROM {kind.table} WHERE run_id = $run", {"run": run_id})

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names and rows of a query; see `table`."""
        return python_rows(self.table(sql, parameters))

    def arrays(
        self, sql: str, parameters: Mapping[str, object] | None = None, **given: Given
    ) -> dict[str, NDArray[Any]]:
        """The columns of a query as numpy arrays; see `table`.

        `given` are tables that it may name: a parameter with a value for each of a million rows takes a
        gigabyte.
        """
        with self._lock, ExitStack() as resources:
            for name, columns in given.items():
                self._db.register(name, pa.table(dict(columns)))
                resources.callback(self._db.unregister, name)
            rows = self.table(sql, parameters)
        if given:
            release()
        return numpy_columns(rows)

    def table(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """What one query returns, as an Arrow table; `$name` stands for a parameter.

        Raises `InputError` with DuckDB's own first line where the query is wrong or would change
        anything, `CannotRun` where the file cannot be read.
        """
        with self._lock, query_errors(self.path):
            check_query(self._db, sql)
            # By way of Arrow: DuckDB's own rows need pytz for a time with a zone.
            return self._db.sql(sql, params=dict(parameters or {})).to_arrow_table()

    @contextmanager
    def batches(
        self, sql: str, parameters: Mapping[str, object], most: int
    ) -> Iterator[pa.RecordBatchReader]:
        """What one query returns, in Arrow batches of at most so many rows; see `table`."""
        with self._lock, query_errors(self.path):
            yield self._db.sql(sql, params=dict(parameters)).to_arrow_reader(most)

    def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """As `table`, of a query that somebody wrote: it reads no file, this one by its path neither.

        Raises `InputError` and `CannotRun`.
        """
        with self._lock, query_errors(self.path):
            check_query(self._db, sql)
            check_files(self._db, sql, parameters or {})
        return self.table(sql, parameters)

    def parameters(self, sql: str) -> set[str]:
        """The names of the parameters of a query. Raises `InputError`."""
        with query_errors(self.path):
            return {
                name for statement in parse(self._db, sql) for name in statement.named_parameters
            }

    def _update(self, run_id: str, values: Mapping[str, object]) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE runs SET {assignments} WHERE run_id = ?", [*values.values(), run_id]
        )

    def _insert(self, columns: Sequence[Columns], how: str = "INSERT") -> None:
        """One statement a table, whatever the number of parts: each costs milliseconds.

        Beyond some hundred thousand rows several, of which one is held as Arrow.
        """
        for some in pieces(columns, ROWS_AT_ONCE):
            tables = arrow_tables(some)
            for name, rows in tables.items():
                self._insert_arrow(name, rows, how)
            if sum(rows.nbytes for rows in tables.values()) > LARGE:
                del rows, tables
                release()

    def _insert_arrow(self, name: str, rows: pa.Table, how: str = "INSERT") -> None:
        # What is read once is let go: of a table every row would be held until the transaction ends.
        batches = pa.RecordBatchReader.from_batches(rows.schema, iter(rows.to_batches()))
        self._db.register("incoming", batches)
        try:
            self._db.execute(f"{how} INTO {name} BY NAME FROM incoming")
        finally:
            with suppress(duckdb.Error):  # in an aborted transaction, where the cause is known
                self._db.unregister("incoming")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block's rows or none: a unit's rows and its line in the ledger go in together."""
        try:
            with interrupts(), self._lock:
                if self._in_transaction:  # of `together`, in this thread: no other has the lock
                    yield
                    return
                self._db.begin()
                self._in_transaction = True
                try:
                    yield
                    self._db.commit()
                except BaseException:
                    with suppress(duckdb.Error):  # a commit that failed has ended it already
                        self._db.rollback()
                    raise
                finally:
                    self._in_transaction = False
        except duckdb.Error as error:
            raise writing_error(self.path, error) from error
