"""What a run needs of a results file."""

from pathlib import Path
from typing import Protocol, TypeVar

from harness.store.tables.base import Columns


class Sink(Protocol):
    """Where rows go. A commit is all or nothing."""

    def finished(self, run_id: str) -> set[str]:
        """The ids of the units whose rows are in."""

    def commit(self, *columns: Columns) -> None:
        """Write all of these in one transaction."""


C = TypeVar("C", bound=Columns)


class Store(Sink, Protocol):
    """A sink that can be read back: selection reads what observation wrote."""

    def read(self, kind: type[C], run_id: str | None = None, **equal: object) -> C:
        """Columns of the rows that agree with `equal`."""
        ...


class Results(Store, Protocol):
    """All that a run does to a store, from its first line to its verdicts."""

    path: Path

    def replace(self, run_id: str, *columns: Columns, **values: object) -> None:
        """Put these in the place of the run's rows in the same tables, and change its line."""
        ...

    def set_run(self, run_id: str, **values: object) -> None:
        """Change columns of the run's line."""
        ...
