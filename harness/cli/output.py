"""What the commands print: lines and JSON on standard output, notes on standard error."""

import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from harness.characters import escape_json, make_visible, one_line
from harness.reports.terminal.width import fold, known_columns
from harness.streams import Shown


def echo(text: object) -> None:
    """A line of a result; on a terminal in as many as it needs."""
    print(fold(make_visible(str(text)), known_columns(sys.stdout)))


def say(line: str) -> None:
    """A note for people: on standard error, so that it is in nobody's pipe, and stops nothing."""
    try:
        print(fold(one_line(line), known_columns(sys.stderr)), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def print_json(value: Any) -> None:
    """A value as JSON on standard output; what is not finite is null."""
    from harness.store.values import json_value

    text = json.dumps(json_value(value), indent=2, default=str, ensure_ascii=False)
    print(escape_json(text))


def write_data(text: str) -> None:
    """What is stored, as it is: a program reads it, and no person."""
    Shown(sys.stdout).write_data(text)


def discard(stream: TextIO) -> None:
    """Send to nowhere what a stream still holds: it cannot be written, and Python would try at its end."""
    with suppress(OSError, ValueError):  # ValueError: a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
