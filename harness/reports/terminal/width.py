"""How many columns there are for what is printed."""

import shutil
import textwrap
from typing import TextIO

WIDTH = 100
LEAST = 40


def terminal_columns(stream: TextIO) -> int:
    """The width of the terminal that a stream writes to; elsewhere 100."""
    if not stream.isatty():
        return WIDTH
    return max(LEAST, shutil.get_terminal_size().columns)


def hanging_indent(head: str, text: str, width: int) -> str:
    """A text after its head, and what does not fit in `width` below the text; words stay whole."""
    lines = textwrap.wrap(
        text, max(width - len(head), 1), break_long_words=False, break_on_hyphens=False
    )
    return f"\n{'':<{len(head)}}".join([head + (lines[0] if lines else ""), *lines[1:]])
