"""The rows of a query as text for other programs: CSV, JSON, Markdown."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.characters import escape_json, escape_markdown
from harness.store.values import json_value, short_text, time_as_text

ColumnNames = Sequence[str]
RowValues = Sequence[Sequence[Any]]


def as_csv(names: ColumnNames, rows: RowValues) -> str:
    """With a header; what has no value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([time_as_text(value) for value in row] for row in rows)
    return text.getvalue()


def as_json(names: ColumnNames, rows: RowValues) -> str:
    """A list of objects; what is not finite is null, which JSON has no other word for.

    A name that is there twice gets a number.
    """
    names = [name if name not in names[:i] else f"{name}_{i}" for i, name in enumerate(names)]
    objects = [
        {name: json_value(value) for name, value in zip(names, row, strict=True)} for row in rows
    ]
    return escape_json(json.dumps(objects, indent=2, default=str, allow_nan=False)) + "\n"


def as_markdown(names: ColumnNames, rows: RowValues) -> str:
    """A table for a page or an issue; numbers are to the right."""
    numeric = [
        any(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in rows)
        for i in range(len(names))
    ]
    lines = [
        [escape_markdown(name) for name in names],
        ["---:" if right else "---" for right in numeric],
    ]
    lines += [[_cell(value) for value in row] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


WRITERS: Mapping[str, Callable[[ColumnNames, RowValues], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
}


def _cell(value: Any) -> str:
    return escape_markdown(short_text(value))
