"""What a report reads: the saved queries, and tables of one run."""

from collections.abc import Iterable
from typing import Any

from harness.store.interface import ReadStore
from harness.store.queries import saved_queries
from harness.store.tables.columns import Columns
from harness.store.tables.observations import OutputScores
from harness.store.values import json_value

Row = dict[str, Any]


def query_rows(store: ReadStore, name: str, **parameters: object) -> list[Row]:
    """The rows of a saved query; what is not finite is None."""
    query = saved_queries()[name]
    given = {key: str(value) for key, value in parameters.items()}
    names, rows = store.query(query.sql, query.fill(given))
    return [dict(zip(names, map(json_value, row), strict=True)) for row in rows]


def rows_by_ablation(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each ablation, by its name."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["ablation"], []).append(row)
    return found


def rows_with(rows: Iterable[Row], *names: str) -> list[Row]:
    """The rows that have a value under each of these names: nothing else can be drawn."""
    return [row for row in rows if all(row[name] is not None for name in names)]


def table_rows(store: ReadStore, kind: type[Columns], run_id: str, **equal: object) -> list[Row]:
    """A table's rows of one run; what is not finite is None."""
    return [json_value(row) for row in store.read(kind, run_id, **equal).rows()]


def output_scores(store: ReadStore, run_id: str) -> dict[tuple[int, int], Row]:
    """The rows of `output_scores` of a run that have a score, by layer and feature."""
    rows = rows_with(table_rows(store, OutputScores, run_id), "score", "base")
    return {(row["layer"], row["feature"]): row for row in rows}
