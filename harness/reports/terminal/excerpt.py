"""The line that a fault is about, with a mark below the place."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from harness.characters import disarm, one_line
from harness.errors import Fault
from harness.reports.terminal.width import WIDTH
from harness.specs.text_file import was_read

MOST = 20  # faults of one file: more scroll the first ones away
_PLACE = re.compile(r"(?P<path>.+?):(?P<line>\d+)(?::(?P<column>\d+))?")
_WORD = re.compile(r"[\w.$-]+")


def with_excerpts(faults: Iterable[Fault], width: int = WIDTH, head: str = "") -> Iterator[str]:
    """The lines of faults, each with its excerpt; of more than 20 in a file the others are counted."""
    of_file: dict[str, list[Fault]] = {}
    for fault in faults:
        of_file.setdefault(fault.file, []).append(fault)
    for file, faults_of_file in of_file.items():
        for fault in faults_of_file[:MOST]:
            yield disarm(one_line(f"{head}{fault}"))
            yield from excerpt(fault, width)
        if len(faults_of_file) > MOST:
            yield disarm(one_line(f"and {len(faults_of_file) - MOST} more in {file}"))


def excerpt(fault: Fault, width: int = WIDTH) -> list[str]:
    """The line as it is written and a line with the mark; empty where the fault is of no line.

    A line longer than `width` is cut around the place. Without a column, the field that the fault
    names is marked.
    """
    place = _PLACE.fullmatch(fault.where)
    if place is None or not was_read(place["path"]):
        return []
    try:
        changed = Path(place["path"]).stat().st_mtime_ns
        written = _lines(place["path"], changed)[int(place["line"]) - 1]
    except (OSError, ValueError, IndexError):
        return []
    shown = "".join(letter if letter.isprintable() else " " for letter in written)
    if not shown.strip():
        return []
    begin, end = _marked(shown, int(place["column"] or 0), fault.what)
    room = width - len(place["line"]) - 6
    if len(shown) > room:
        first = max(0, min(begin - room // 3, len(shown) - room))
        cut = shown[first : first + room]
        before, after = "…" * (first > 0), "…" * (first + room < len(shown))
        shown = before + cut[len(before) : len(cut) - len(after)] + after
        begin, end = begin - first, min(end - first, room)
    margin = " " * len(place["line"])
    lines = [f"  {place['line']} | {shown.rstrip()}"]
    if begin < end:
        lines.append(f"  {margin} | {' ' * begin}{'^' * (end - begin)}")
    return lines


@lru_cache(4)
def _lines(path: str, changed: int) -> list[str]:  # noqa: ARG001 # read again where it changed
    return Path(path).read_text(encoding="utf-8", errors="replace").split("\n")


def _marked(line: str, column: int, what: str) -> tuple[int, int]:
    """From where to where the mark goes; the same twice where nothing is to be marked."""
    if column:
        begin = min(column - 1, len(line))
        word = _WORD.match(line, begin)
        return begin, word.end() if word else begin + 1
    for name in re.findall(r"'([^']*)'", what):
        if field := re.search(rf'"{re.escape(name)}"', line):
            return field.span()
    return 0, 0
