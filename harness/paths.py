"""Where things lie: the folders that travel with the package, and files named by a user."""

import os
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
