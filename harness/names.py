"""Names that become parts of paths, of run ids and of commands: one pattern for all of them."""

import re
import shlex
from pathlib import Path

from harness.errors import Fault, InputError

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
LONGEST = 80  # characters
LONGEST_ID = 200  # of a run: its time, its spec's name and its target's


def is_name(text: object, longest: int = LONGEST) -> bool:
    """Whether it is a name: letters, digits, `_`, `.` and `-`, beginning with a letter or a digit."""
    # Matched in full: `$` alone would allow a line end after it.
    return (
        isinstance(text, str) and len(text) <= longest and re.fullmatch(PATTERN, text) is not None
    )


def child(folder: Path, name: str, suffix: str = "") -> Path:
    """The path of a file or folder directly in `folder`, of a name that came from a file.

    Raises `InputError` where the name is none: it could lead elsewhere.
    """
    if not is_name(name, LONGEST_ID):
        what = "it is no name, and files are named by it"
        raise InputError(Fault(f"{name!r:.80}", what, "use letters, digits, '_', '.' and '-'"))
    return folder / f"{name}{suffix}"


def command(*words: object) -> str:
    """A command of this program as a line that a POSIX shell reads as these words."""
    return shlex.join(("harness", *map(str, words)))
