"""SHA-256 of files, and whether they are those that a folder's `SHA256SUMS` was written for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.errors import CannotRun, Fault

SUMS = "SHA256SUMS"


def verify(folder: Path, files: Sequence[Path]) -> None:
    """Compare files with the folder's `SHA256SUMS`, where it has one; raises `CannotRun`."""
    if not (folder / SUMS).is_file():
        return
    lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines)
    wanted = {pair[1].removeprefix("*"): pair[0] for pair in pairs if len(pair) == 2}
    for file in files:
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else ""
        if name in wanted and wanted[name] != digest_of(file):
            raise CannotRun(
                Fault(
                    str(file),
                    f"it is not the file that {SUMS} was written for",
                    "restore it, e.g. with `git checkout`",
                )
            )


def digest_of(*files: Path) -> str:
    """SHA-256 of the bytes of some files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
