"""Rows in as much width as there is: a table, or one value a line where a table would be unreadable."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.characters import one_line
from harness.store.values import short_text

FOLDED = 20  # columns of text in which a long value can still be read


def rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """The rows of a query."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(Text(one_line(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(short_text(value))) for value in row))
    return table


def print_rows(out: Console, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; where its columns would be too narrow, each row as a list of its values."""
    cells = [[one_line(short_text(value)) for value in row] for row in rows]
    names = [one_line(name) for name in names]
    widths = [
        min(FOLDED, max(len(name), *(len(row[i]) for row in cells), 1))
        for i, name in enumerate(names)
    ]
    if not rows or sum(widths) + 3 * len(widths) <= out.width:
        out.print(rows_table(names, rows))
        return
    for number, row in enumerate(cells, start=1):
        out.print(f"row {number}", style="dim")
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            table.add_row(Text(f"  {name}"), Text(cell))
        out.print(table)
