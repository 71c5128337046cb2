"""Do two runs agree, row by row? And if not, where, and by how much?"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.store.database import Store
from harness.store.tables.runs import Runs
from harness.store.values import none_for_nan

# What two runs of the same thing differ in without a word.
_OWN = ("run_id", "created_at", "finished_at", "wall_seconds", "status", "content")
_MEASURED = ("peak_memory", "peak_device_memory")
_FLOATS = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class TableAgreement:
    """One table of two runs: rows, rows that the other has not, and the largest differences.

    `largest` has each column of floats that differs, where all other columns of the rows agree.
    """

    table: str
    rows_a: int
    rows_b: int
    only_a: int
    only_b: int
    largest: Mapping[str, float] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether each row of the one is in the other, to the last bit."""
        return not self.only_a and not self.only_b


def compare_tables(store: Store, a: str, b: str) -> list[TableAgreement]:
    """Every table in which either run has rows."""
    _, rows = store.query("FROM differences($a, $b)", {"a": a, "b": b})
    tables = [TableAgreement(*row) for row in rows]
    return [
        table
        if table.agrees
        else replace(table, largest=_largest_differences(store, table.table, a, b))
        for table in tables
    ]


def compare_facts(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What else is not the same: each column of the runs' lines with both values."""
    names = [name for name in Runs.names() if name not in (*_OWN, *_MEASURED)]
    both = {name: (none_for_nan(a[name]), none_for_nan(b[name])) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _largest_differences(store: Store, table: str, a: str, b: str) -> dict[str, float]:
    """The largest |a - b| of each column of floats over rows that agree in all others."""
    _, columns = store.query(f"DESCRIBE {table}")
    floats = [name for name, kind, *_ in columns if kind in _FLOATS and name != "seconds"]
    keys = [
        name
        for name, kind, *_ in columns
        if kind not in _FLOATS and name not in ("run_id", "finished_at", "query")
    ]
    if not floats:
        return {}
    order = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {', '.join(floats)}) AS n"
    same = " AND ".join(f"a.{key} IS NOT DISTINCT FROM b.{key}" for key in (*keys, "n"))
    largest = ", ".join(f"max(abs(a.{name} - b.{name}))" for name in floats)
    _, ((*values,),) = store.query(
        f"SELECT {largest} FROM (SELECT *, {order} FROM {table} WHERE run_id = $a) a "
        f"JOIN (SELECT *, {order} FROM {table} WHERE run_id = $b) b ON {same}",
        {"a": a, "b": b},
    )
    return {name: value for name, value in zip(floats, values, strict=True) if value}
