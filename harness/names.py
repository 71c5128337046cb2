"""Names that become parts of paths, of run ids and of commands: one pattern for all of them."""

import hashlib
import re
import shlex
from pathlib import Path

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
LONGEST = 80  # characters
A_SET = rf"{PATTERN[:-1]}/{PATTERN[1:]}"  # of an eval, and of one of its ablations
LONGEST_ID = 200  # of a run: its time, its spec's name and its target's


def is_name(text: object, longest: int = LONGEST) -> bool:
    """Whether it is a name: letters, digits, `_`, `.` and `-`, beginning with a letter or a digit."""
    # Matched in full: `$` alone would allow a line end after it.
    return (
        isinstance(text, str) and len(text) <= longest and re.fullmatch(PATTERN, text) is not None
    )


def child(folder: Path, name: str, suffix: str = "") -> Path:
    """A path directly in `folder` of a name that came from a file.

    What is no name, as in a stranger's file or an old one, could lead elsewhere: what is left of it
    when its other characters are taken out stands for it, with its hash.
    """
    if not is_name(name, LONGEST_ID):
        kept = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:LONGEST].lstrip("._-")
        name = f"{kept}{'-' * bool(kept)}{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:12]}"
    return folder / f"{name}{suffix}"


def command(*words: object, program: str = "harness") -> str:
    """A command as a line that a POSIX shell reads as these words, whatever is in them."""
    return shlex.join((program, *map(str, words)))
