"""Where something stands in a TOML file: its reader says so of what is no TOML, and not of keys."""

import re
import tomllib

MOST = 20  # lines that look alike are tried


def line_in_message(message: str) -> tuple[str, int | None]:
    """What is wrong, and the line where the message of a `TOMLDecodeError` says it."""
    found = re.search(r"\s*\(at line (\d+), column \d+\)$", message)
    return (message[: found.start()], int(found[1])) if found else (message, None)


def line_of(text: str, table: str, key: str = "") -> int | None:
    """The line, from 1, of a table's header, or of a key in it; None where it cannot be told.

    Tables may be written in other ways than as `[table]` above `key = ...`: then no line is named rather
    than a wrong one.
    """
    lines = text.split("\n")
    header = _first(lines, 0, _header(table)) or _first(lines, 0, _start(table))
    if header is None or not key:
        return header
    # As far as the next header.
    end = _first(lines, header, r"\s*\[") or len(lines) + 1
    return _first(lines[: end - 1], header, _start(key)) or header


def _first(lines: list[str], begin: int, pattern: str) -> int | None:
    """The first line after so many that looks like it, and lies in no text of several lines."""
    alike = [i for i in range(begin, len(lines)) if re.match(pattern, lines[i])]
    return next((i + 1 for i in alike[:MOST] if _is_whole("\n".join(lines[:i]))), None)


def _is_whole(text: str) -> bool:
    """Whether a beginning of a file ends where a line of its own may begin."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _name(word: str) -> str:
    return rf"""["']?{re.escape(word)}["']?"""


def _header(table: str) -> str:
    return rf"\s*\[\s*{_name(table)}\s*\]"


def _start(key: str) -> str:
    return rf"\s*(?:\[\s*)?{_name(key)}\s*[.=]"
