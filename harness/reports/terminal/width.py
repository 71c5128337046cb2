"""How many columns there are for what is printed, and lines that are folded to fit."""

import os
import re
import shutil
import textwrap
from typing import TextIO

WIDTH = 100
LEAST = 40


def known_columns(stream: TextIO) -> int | None:
    """The width of the terminal that a stream writes to, or what COLUMNS asks for; None elsewhere.

    80 where a terminal does not tell. What goes to a file or another program is not folded: a line is a
    line there, unless somebody asks.
    """
    asked = os.environ.get("COLUMNS", "")
    if not stream.isatty():
        return max(LEAST, int(asked)) if asked.isdigit() and int(asked) else None
    return max(LEAST, shutil.get_terminal_size().columns)


def terminal_columns(stream: TextIO) -> int:
    """The same; 100 where nothing is known."""
    return known_columns(stream) or WIDTH


def hanging_indent(head: str, text: str, width: int | None) -> str:
    """A text after its head, and what does not fit in `width` below the text; words stay whole.

    A word longer than its room is cut. Without a width it is one line.
    """
    room = max(width - len(head), 1) if width else len(text) + 1
    lines = textwrap.wrap(text, room, break_long_words=room > 20, break_on_hyphens=False)
    return f"\n{'':<{len(head)}}".join([head + (lines[0] if lines else ""), *lines[1:]])


def fold(text: str, width: int | None) -> str:
    """Each line in as many as it needs in so many columns; words stay whole, as paths that are copied."""
    if width is None:
        return text
    return "\n".join(
        _folded(line, width, " " * (len(line) - len(line.lstrip()) + 2))
        for line in text.split("\n")
    )


def fold_command(line: str, width: int | None) -> str:
    """A line for a shell in several, which it joins again: a backslash ends all but the last.

    It is left alone where single quotes, in which a backslash is one, could be at an end.
    """
    if width is None or "'" in re.sub('"[^"]*"', "", line):
        return line
    return _folded(line, width - 2, "").replace("\n", " \\\n")


def _folded(line: str, width: int, indent: str) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
