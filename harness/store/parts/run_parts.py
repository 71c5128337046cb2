"""The parts of a run as its manifest names them, held against what lies on the disk."""

import stat
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import CannotRun, Fault, InputError
from harness.store.errors import AGAIN
from harness.store.manifests import RunManifest, read_manifest
from harness.store.migrations import VERSION
from harness.store.parts.layout import (
    MANIFEST,
    TABLE_NAMES,
    PartName,
    is_index,
    run_folders,
    run_of,
)

FORMAT = "misconception-harness parts of a run"
LARGEST = 50_000_000  # bytes of a manifest


class Part(BaseModel):
    """A Parquet file: its bytes and its sum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class RunParts(RunManifest):
    """A run in parts: each one by its path within the run's folder. Every table has one, if without rows."""

    format: str = Field(pattern=f"^{FORMAT}$")
    parts: Mapping[str, Part]

    @model_validator(mode="after")
    def _is_whole(self) -> "RunParts":
        tables = {name.table for name in self.names}
        if self.schema_ == VERSION and tables != set(TABLE_NAMES):
            raise ValueError("it does not name every table")
        return self

    @cached_property
    def names(self) -> tuple[PartName, ...]:
        """The parts, by table, layer and number. Raises `ValueError` where one is named wrongly."""
        names = [PartName.parse(text) for text in self.parts]
        return tuple(sorted(names, key=lambda one: (one.table, one.layer or 0, one.number)))

    @property
    def bytes(self) -> int:
        """Of all parts together."""
        return sum(part.bytes for part in self.parts.values())


def read_run(home: Path) -> RunParts:
    """The parts of the run in a folder, of which each is there and as long as it was.

    Of their contents only the length is held against the manifest; `harness import` compares the sums.
    Raises `CannotRun`.
    """
    run_id = run_of(home)
    if run_id is None:
        raise _wrong(home, "it is named after no run")
    try:
        _check(home, stat.S_ISDIR, "folder")
        _check(home / MANIFEST, stat.S_ISREG, "file")
        found = read_manifest(home / MANIFEST, RunParts, most=LARGEST, remedy=AGAIN)
        for folder in _folders(found):
            _check(home / folder, stat.S_ISDIR, "folder")
        for name, part in found.parts.items():
            if _check(home / name, stat.S_ISREG, "file") != part.bytes:
                raise _wrong(home / name, "it is cut off, or not the file that was exported")
    except InputError as error:
        raise CannotRun(*error.faults) from None
    except OSError as error:
        raise _wrong(home, f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if found.run_id != run_id:
        raise _wrong(home, f"it holds the parts of another run, {found.run_id}")
    return found


def read_runs(index: Path) -> dict[Path, RunParts]:
    """The runs whose parts lie beside an index, by their folders. Raises `CannotRun`."""
    runs = {}
    for home in run_folders(index.resolve().parent):
        runs[home] = read_run(home)
        check_schema(home, runs[home])
    return runs


def check_schema(home: Path, run: RunParts) -> None:
    """Raises `CannotRun` where a run's parts are of another schema than today's."""
    check_newer(home, run)
    if run.schema_ < VERSION:
        what = f"its parts are of schema {run.schema_}, and this harness reads {VERSION}"
        remedy = "`harness import` takes the run into a results file, to be exported anew"
        raise CannotRun(Fault(str(home), what, remedy))


def check_newer(home: Path, run: RunParts) -> None:
    """Raises `CannotRun` where a newer harness wrote the parts."""
    if run.schema_ > VERSION:
        what = f"it is of a newer harness (schema {run.schema_}, this one knows {VERSION})"
        raise CannotRun(Fault(str(home), what, "upgrade the harness"))


def stored_bytes(file: Path) -> int:
    """What a results file takes on the disk, or all parts beside an index. Raises `CannotRun`, `OSError`."""
    if is_index(file):
        return sum(run.bytes for run in read_runs(file).values())
    return file.stat().st_size


def files_by_table(runs: Mapping[Path, RunParts]) -> dict[str, list[str]]:
    """The parts of runs as absolute paths, by the tables that they are of."""
    files: dict[str, list[str]] = {name: [] for name in TABLE_NAMES}
    for home, run in runs.items():
        for name in run.names:
            files[name.table].append(str(home / str(name)))
    return files


def _folders(run: RunParts) -> Iterator[str]:
    tables = {name.table for name in run.names}
    yield from tables
    yield from {str(PurePosixPath(text).parent) for text in run.parts} - tables


def _check(path: Path, kind: Callable[[int], bool], word: str) -> int:
    """The size of what lies there, a link being what it is. Raises `CannotRun`, `OSError`."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise _wrong(path, "it is missing") from None
    if not kind(found.st_mode):
        raise _wrong(path, f"it is a link, or no {word}")
    return found.st_size


def _wrong(place: Path, what: str) -> CannotRun:
    return CannotRun(Fault(str(place), what, AGAIN))
