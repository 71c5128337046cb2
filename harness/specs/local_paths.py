"""Which files a spec may name: those below a few folders, whatever links and dots its paths go through.

A spec may be a stranger's, and is checked in CI beside keys and tokens. What it names is read from the
folder that it lies in, the one above, the working directory, what comes with the package, installed
packages, the hub's cache, and the folders in `HARNESS_FOLDERS`, which whoever runs it sets.
"""

import os
import shlex
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from harness.errors import Fault, InputError
from harness.paths import bundled, find

FOLDERS = "HARNESS_FOLDERS"
BUNDLED = "fixtures/"  # how the paths begin of models and SAEs that come with the package


def find_named(name: str, *around: Path, what: str = "") -> Path | None:
    """The file or folder that a spec names, looked for in the folders `around` it too; None where none is.

    Raises `InputError`, at the part `what` of the spec, where it lies in no folder that specs are read from.
    """
    found = find(name, *around)
    if found is not None:
        check_within(name, found, what, *around)
    return found


def check_within(name: str, path: Path, what: str, *around: Path) -> None:
    """Raises `InputError`, at the part `what`, where a named path leads to where specs are not read from."""
    if not is_within(path, *around):
        raise InputError(_outside(name, path, what))


def is_within(path: Path, *around: Path) -> bool:
    """Whether a path lies, after all links, below a folder that specs are read from, and not hidden."""
    real = Path(os.path.realpath(path))
    if _of_the_system(real):
        return False
    near = [Path(os.path.realpath(folder)) for folder in (*around, Path())]
    if any(real.parent == folder and not real.name.startswith(".") for folder in near):
        return True
    roots = [folder for folder in near if not _is_wide(folder)]
    return any(
        real.is_relative_to(root)
        and not any(part.startswith(".") for part in real.relative_to(root).parts)
        for root in (*roots, *_known())
    )


def check_file(path: Path, *around: Path) -> None:
    """Raises `InputError` where a path is a link to where specs are not read from."""
    if path.is_symlink() and not is_within(path, *around):
        raise InputError(_outside(str(path), path, str(path)))


def local_path(name: str) -> Path | None:
    """The file or folder that a target's model or SAEs are; None for a repository's name.

    A name without a dot or a slash before it is never looked for in the working directory: a folder there
    could be called like a repository.
    """
    if name.startswith(BUNDLED):
        path = bundled(name)
    elif Path(name).is_absolute() or name.startswith(("./", "../")):
        path = Path(name)
    else:
        return None
    return path if path.exists() else None


def written_out(path: Path) -> str:
    """A local path as a target has it: it cannot be taken for the name of a repository."""
    return str(path) if path.is_absolute() else f"./{path}"


def _outside(name: str, path: Path, where: str) -> Fault:
    above = Path(os.path.realpath(path)).parent
    remedy = f"put the file itself there, or set {FOLDERS}={shlex.quote(str(above))}"
    if _of_the_system(above):
        remedy = "name a file"
    what = f"{name} leads out of the folders that specs are read from"
    return Fault(where, what, remedy)


def _of_the_system(real: Path) -> bool:
    return any(real.is_relative_to(folder) for folder in ("/proc", "/sys", "/dev"))


def _is_wide(folder: Path) -> bool:
    """Whether everything of the system, or of its users, lies below a folder."""
    home = Path(os.path.realpath(os.path.expanduser("~")))
    return folder == folder.parent or (home != folder and home.is_relative_to(folder))


def _known() -> Iterator[Path]:
    """What nobody has to name, and what whoever runs this has named; without links."""
    packages = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    named = (part for part in os.environ.get(FOLDERS, "").split(os.pathsep) if part)
    for folder in (bundled(), _cache_of_hub(), *map(Path, packages), *map(Path, named)):
        yield Path(os.path.realpath(folder))


def _cache_of_hub() -> Path:
    """Where the hub's client keeps files, whose snapshots are links."""
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))
