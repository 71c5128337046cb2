"""The columns of a table: one sequence each, so that a million rows cost one object."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, Self


class Column(Protocol):
    """A list, or a numpy array of one dimension."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Columns:
    """Columns of one table, each of shape (n_rows,); a subclass names them, and `len` is n_rows."""

    table: ClassVar[str]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The columns, in their order."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """From rows; a column that a row lacks is null there. Raises `KeyError` for a column too many."""
        listed = list(rows)
        unknown = {key for row in listed for key in row} - set(cls.names())
        if unknown:
            raise KeyError(f"{cls.table} has no column {sorted(unknown)}")
        return cls(**{name: [row.get(name) for row in listed] for name in cls.names()})

    @classmethod
    def filled(cls, **columns: Any) -> Self:
        """From columns of one length, of which some are given as the one value of all rows.

        A list or a numpy array of one dimension is a column, and there must be one; a text, a number or
        None is repeated. Raises `TypeError` where a column is missing or there is none of that name,
        and `ValueError` where lengths differ.
        """
        whole = {name: values for name, values in columns.items() if _is_column(values)}
        lengths = {len(values) for values in whole.values()}
        if len(lengths) != 1:
            raise ValueError(f"columns of {cls.table} have lengths {sorted(lengths)}")
        (length,) = lengths
        repeated = {name: [value] * length for name, value in columns.items() if name not in whole}
        return cls(**whole | repeated)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dictionary a row, of Python's own types."""
        names = self.names()
        for values in zip(*(getattr(self, name) for name in names), strict=True):
            plain = (v.tolist() if hasattr(v, "tolist") else v for v in values)
            yield dict(zip(names, plain, strict=True))

    def between(self, start: int, stop: int) -> Self:
        """The rows from `start` to before `stop`; of columns that can be sliced."""
        return replace(self, **{name: getattr(self, name)[start:stop] for name in self.names()})

    def __len__(self) -> int:
        return len(getattr(self, self.names()[0]))


def _is_column(values: Any) -> bool:
    return isinstance(values, list) or getattr(values, "ndim", 0) == 1
