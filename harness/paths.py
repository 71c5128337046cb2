"""Where things lie: the folders that travel with the package, and files named by a user."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parent
DEFAULT_DB = Path("db/results.duckdb")
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes, on the usual file systems


def bundled(*parts: str) -> Path:
    """A file or folder of the project: in the wheel's copy, or in the checkout around the package."""
    copy = PACKAGE / "_bundled"
    return (copy if copy.is_dir() else PACKAGE.parent).joinpath(*parts)


def eval_names() -> list[str]:
    """The names of the specs in `evals/` of the working directory, and of those that travel along."""
    folders = (Path("evals"), bundled("evals"))
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def find(name: str | Path, *folders: Path) -> Path | None:
    """The first of `folders`, the working directory and the bundled files that has this path."""
    for folder in (*folders, Path(), bundled()):
        try:
            if (folder / name).exists():
                return folder / name
        except OSError:  # no file can have such a name
            continue
    return None


def can_be_named(path: str | Path) -> bool:
    """Whether a file can have this path: no part of it, nor the whole, is too long."""
    parts = [len(os.fsencode(part)) for part in Path(path).parts]
    return max(parts, default=0) <= LONGEST_NAME and sum(parts) + len(parts) <= LONGEST_PATH


def is_beside(name: object) -> bool:
    """Whether a path that somebody else wrote leads to nowhere but into the folder that it is taken from."""
    if not isinstance(name, str) or not name.isprintable() or not can_be_named(name):
        return False
    return "\\" not in name and not {"", ".", ".."} & set(name.split("/"))


def is_address(path: Path) -> bool:
    """Whether a path was meant for another place than this machine's disks: `s3://...`, `md:...`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/|(md|motherduck):", str(path)) is not None


def make_folder(path: Path) -> None:
    """A folder and those above it, where they are not there. Raises `OSError`, also for an address."""
    if is_address(path):
        raise OSError(errno.EINVAL, "it is an address, and files are written on this machine")
    path.mkdir(parents=True, exist_ok=True)


def check_own_folder(name: str) -> None:
    """Raises `OSError` where a folder that nobody named is a link that leads out of the working directory."""
    if not Path(os.path.realpath(name)).is_relative_to(os.path.realpath("")):
        raise OSError(errno.ELOOP, f"{name} is a link to {os.path.realpath(name)}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place when the block ends without an error.

    So nobody ever finds half a file, and what was there stays where the disk is full. A device or a pipe
    is written to as it is. Nothing is written through a link, which in somebody else's folder leads
    anywhere. Raises `OSError`.
    """
    make_folder(path.parent)
    if path.is_symlink() and not path.is_relative_to("/dev"):
        raise OSError(
            errno.ELOOP, f"it is a link to {os.readlink(path)}, and that is not what was named"
        )
    path = Path(os.path.realpath(path))  # /dev/stdout is one, too
    if path.exists() and not path.is_file():
        yield path
        return
    part = path.with_name(f".{secrets.token_hex(4)}.part")
    try:
        part.touch(exist_ok=False)
        if path.exists():
            shutil.copymode(path, part)
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
