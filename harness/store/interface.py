"""What the floors above ask of an open results file: to read it, or to store a run in it.

`database.Store` is both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # whoever waits for a store needs none of its tables
    from numpy.typing import NDArray

    from harness.store.tables.columns import Columns

WAIT_SECONDS = 10.0  # that a second writer waits for the first
Given = Mapping[str, Any]  # columns of one length: lists, or arrays of numpy or Arrow
ColumnsT = TypeVar("ColumnsT", bound="Columns")


class ReadStore(Protocol):
    """A results file that is read: by table, or by a query."""

    def read(self, kind: type[ColumnsT], run_id: str | None = None, **equal: object) -> ColumnsT:
        """A table's columns, each an array of shape (n_rows,), in a fixed order of the rows.

        `run_id` and `equal` keep the rows whose columns have these values.
        """
        ...

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names of a query's columns, and its rows; `$name` stands for a parameter."""
        ...

    def arrays(
        self, sql: str, parameters: Mapping[str, object] | None = None, **given: Given
    ) -> dict[str, "NDArray[Any]"]:
        """The columns of a query by name, numpy arrays of shape (n_rows,); nulls of numbers are NaN.

        `given` are tables that it may name, by their columns.
        """
        ...


class RunStore(ReadStore, Protocol):
    """All that a run does to a results file, from its first line to its verdicts.

    Every call is a transaction: all or nothing.
    """

    path: Path

    def finished(self, run_id: str) -> set[str]:
        """The ids of the units whose rows are in."""
        ...

    def commit(self, *columns: "Columns") -> None:
        """Write all of these: a unit's rows, and its line in the ledger."""
        ...

    def replace(self, run_id: str, *columns: "Columns", **values: object) -> None:
        """Put these in the place of the run's rows in the same tables, and change its line."""
        ...

    def set_run(self, run_id: str, **values: object) -> None:
        """Change columns of the run's line in `runs`."""
        ...
