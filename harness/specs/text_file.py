"""Text files that people write: UTF-8 without a byte order mark, or a fault that says the place."""

import os
import re
import stat
from pathlib import Path

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
            data = file.read(most + 1)
            _READ.add(str(path))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(Fault(str(path), f"cannot be read: {reason}", "check the path")) from None
    if len(data) > most:
        what = f"has more than {most:,} bytes"
        raise InputError(Fault(str(path), what, "name the file that is meant, or split it"))
    if marked:
        data = data.removeprefix(BYTE_ORDER_MARK)
    if data.startswith(BYTE_ORDER_MARK):
        raise InputError(
            Fault(f"{path}:1", "begins with a byte order mark", "save it as UTF-8 without BOM")
        )
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(
            Fault(
                f"{path}:{line}:{column}",
                f"byte 0x{data[error.start]:02x} is not UTF-8",
                "save the file as UTF-8",
            )
        ) from None


def place_order(fault: Fault) -> tuple[list[int], str]:
    """Sorts faults by line and column."""
    return [int(number) for number in re.findall(r":(\d+)", fault.where)], fault.what


def is_whole(text: str) -> bool:
    """Whether it holds whole characters alone: half of a surrogate pair is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
