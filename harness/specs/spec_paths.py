"""Where a spec lies that is given by path or name, and where its own relative paths begin."""

import re
from glob import glob
from pathlib import Path

from harness.errors import Fault, InputError, nearest, too_long
from harness.paths import can_be_named, eval_names, find


def find_spec(path: str | Path) -> Path:
    """The file of a spec that is given by path or name.

    A name is of a file `evals/NAME.yaml`: of the working directory, else of those that come with the
    package.
    """
    if not can_be_named(path):
        raise InputError(too_long(path))
    found = find(path)
    if found is None or found.is_dir():
        found = find(Path("evals", f"{path}.yaml"))
    if found is None:
        raise InputError(_no_spec(Path(path)))
    return found


def _no_spec(path: Path) -> Fault:
    """Why nothing is found there: a folder, a pattern that no shell resolved, or a misspelt name."""
    if path.is_dir():
        there = any(path.glob("*.yaml"))
        remedy = f"name {path / '*.yaml'}" if there else "name a spec, a YAML file"
        return Fault(str(path), "it is a folder", remedy)
    if re.search(r"[*?\[]", str(path)):
        matched = glob(str(path))
        if matched:
            return Fault(str(path), "it is a pattern, not a file", "write it without quotes")
        return Fault(str(path), "no file is named like this", "check the folder")
    return Fault(str(path), "there is no such spec", nearest(path.stem, eval_names()))


def folders_around(spec_path: Path) -> tuple[Path, Path]:
    """Where a spec's relative paths are looked for first: beside it, and in the folder above."""
    beside = spec_path.parent
    # The name of the folder that one stands in, or above, is not part of the path.
    return beside, beside.parent if beside.name not in ("", "..") else beside / ".."
