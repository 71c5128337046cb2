"""The rows of a query as text for other programs: CSV, JSON, Markdown."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from harness.errors import Fault, InputError

Names = Sequence[str]
Rows = Sequence[Sequence[Any]]


def plain(table: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """An Arrow table's names and rows; whole decimals, which are sums of integers, as integers.

    Raises `InputError` for a value that Python has no type for.
    """
    try:
        columns = [[_plain(value) for value in column.to_pylist()] for column in table.columns]
    except (OverflowError, ValueError) as error:  # a date that Python does not know
        what = f"it returns a value that cannot be shown: {error}"
        raise InputError(Fault("query", what, "cast it to VARCHAR")) from None
    return table.column_names, list(zip(*columns, strict=True))


def as_csv(names: Names, rows: Rows) -> str:
    """With a header; what has no value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_iso(value) for value in row] for row in rows)
    return text.getvalue()


def as_json(names: Names, rows: Rows) -> str:
    """A list of objects; what is not finite is null, which JSON has no other word for.

    A name that is there twice gets a number.
    """
    names = [name if name not in names[:i] else f"{name}_{i}" for i, name in enumerate(names)]
    objects = [
        {name: finite(value) for name, value in zip(names, row, strict=True)} for row in rows
    ]
    return json.dumps(objects, indent=2, default=str, allow_nan=False) + "\n"


def as_markdown(names: Names, rows: Rows) -> str:
    """A table for a page or an issue; numbers are to the right."""
    numeric = [
        any(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in rows)
        for i in range(len(names))
    ]
    lines = [names, ["---:" if right else "---" for right in numeric]]
    lines += [[_cell(value) for value in row] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


WRITERS: Mapping[str, Callable[[Names, Rows], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
}


def finite(value: Any) -> Any:
    """A value as JSON has it: null where it is not finite, as nulls of the store are read; times as text."""
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _iso(value)


def short(value: Any) -> str:
    """A value for people: five digits."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(_iso(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _iso(value: Any) -> Any:
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value


def _cell(value: Any) -> str:
    return short(value).replace("|", "\\|").replace("\n", " ")
