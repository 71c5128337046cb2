"""Text files that people write: UTF-8 without a byte order mark, or a fault that says the place."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.errors import Fault, InputError

# The files that were read here: of others no line is shown to anybody, whatever names them.
_READ: set[str] = set()


def was_read(path: str) -> bool:
    """Whether a file was read as a text that people write, in this process."""
    return path in _READ


BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_text(path: Path, most: int, *, given: bool = False, marked: bool = False) -> str:
    """The text of a file of at most so many bytes, with line ends as "\\n".

    A pipe or a device is read only where it was `given` by whoever runs this, and a byte order mark left
    out only of a file that may be `marked` with one.

    Raises `InputError` where it is none.
    """
    with _opened(path, given) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise _too_large(path, most)
    if marked:
        data = data.removeprefix(BYTE_ORDER_MARK)
    _check_unmarked(path, data)
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise _not_utf8(path, line, column, data[error.start]) from None


def read_lines(path: Path, most: int, longest: int) -> Iterator[str]:
    """The lines of a file of at most so many bytes, of at most `longest` each, without their ends.

    One after the other: what is held is a line. Raises `InputError` as `read_text`, where it comes to it.
    """
    with _opened(path, given=False) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise _too_large(path, most)
        for number, line in enumerate(iter(lambda: file.readline(longest + 1), b""), start=1):
            if len(line) > longest:
                what = f"the line has more than {longest:,} bytes"
                raise InputError(Fault(f"{path}:{number}", what, "write one object a line"))
            if number == 1:
                _check_unmarked(path, line)
            try:
                yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, number, error.start + 1, line[error.start]) from None


@contextmanager
def _opened(path: Path, given: bool) -> Iterator[BinaryIO]:
    """A file to be read. Raises `InputError` where it cannot be, or is none and was not `given`."""
    try:
        # What is no regular file may have no end, or no beginning. It is opened without waiting for one.
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with open(descriptor, "rb") as file:
            if not (stat.S_ISREG(os.fstat(descriptor).st_mode) or given):
                what = "it is no regular file"
                raise InputError(Fault(str(path), what, "name a file"))
            os.set_blocking(descriptor, True)
            _READ.add(str(path))
            yield file
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(Fault(str(path), f"cannot be read: {reason}", "check the path")) from None


def _too_large(path: Path, most: int) -> InputError:
    what = f"has more than {most:,} bytes"
    return InputError(Fault(str(path), what, "name the file that is meant, or split it"))


def _check_unmarked(path: Path, data: bytes) -> None:
    if data.startswith(BYTE_ORDER_MARK):
        raise InputError(
            Fault(f"{path}:1", "begins with a byte order mark", "save it as UTF-8 without BOM")
        )


def _not_utf8(path: Path, line: int, column: int, byte: int) -> InputError:
    what = f"byte 0x{byte:02x} is not UTF-8"
    return InputError(Fault(f"{path}:{line}:{column}", what, "save the file as UTF-8"))


def place_order(fault: Fault) -> tuple[list[int], str]:
    """Sorts faults by line and column."""
    return [int(number) for number in re.findall(r":(\d+)", fault.where)], fault.what


def is_whole(text: str) -> bool:
    """Whether it holds whole characters alone: half of a surrogate pair is none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
