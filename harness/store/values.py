"""The store's values as Python, JSON and people have them."""

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

from harness.errors import Fault, InputError


def python_rows(table: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """An Arrow table's n_columns names and n_rows rows; whole decimals, sums of integers, as integers.

    Raises `InputError` for a value that Python has no type for.
    """
    try:
        columns = [
            [_python_value(value) for value in column.to_pylist()] for column in table.columns
        ]
    except (OverflowError, ValueError) as error:  # a date that Python does not know
        what = f"it returns a value that cannot be shown: {error}"
        raise InputError(Fault("query", what, "cast it to VARCHAR")) from None
    return table.column_names, list(zip(*columns, strict=True))


def json_value(value: Any) -> Any:
    """A value as JSON has it: null where it is not finite, as nulls of the store are read; times as text."""
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, dict):
        return {key: json_value(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return time_as_text(value)


def none_for_nan(value: Any) -> Any:
    """A value of a column of numbers, in which NaN stands for null."""
    return None if isinstance(value, float) and math.isnan(value) else value


def short_text(value: Any) -> str:
    """A value for people: five digits."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(time_as_text(value))


def _python_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def time_as_text(value: Any) -> Any:
    """A time as text, with a space between date and hour; any other value as it is."""
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value
