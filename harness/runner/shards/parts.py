"""What tasks returned, in a folder: rows as Parquet files, sums as arrays, each part whole or not there."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import CannotRun, Fault, InputError
from harness.models.checksums import digest_of
from harness.paths import whole_file
from harness.runner.tasks import Done, Task
from harness.specs.text_file import read_text
from harness.store.arrow import arrow_tables
from harness.store.export import parquet
from harness.store.tables import TABLES
from harness.store.tables.columns import Columns

_KINDS = {kind.table: kind for kind in TABLES}
_SUMS = "sums"
_LARGEST = 100_000  # bytes of a line
_LINE = ".json"  # of a part: written last, it says that the part is whole


class Parts:
    """The parts of the run `run_id`, in its folder. Raises `CannotRun` where the disk does not let it."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self.folder, self._run_id = folder, run_id

    def has(self, task: Task) -> bool:
        """Whether a task's part is there, and whole."""
        return self._path(task, _LINE).exists()

    def save(self, task: Task, done: Done) -> None:
        """Put a task's result there; of two that are saved, one stays."""
        line: dict[str, Any] = {"seconds": done.seconds, "rows": done.rows, "memory": done.memory}
        with self._said():
            self.folder.joinpath(_slug(task.stage)).mkdir(parents=True, exist_ok=True)
            if task.sums:
                with whole_file(self._path(task, ".npz")) as part, part.open("wb") as file:
                    np.savez(file, **done.value)
                files = {_SUMS: ".npz"}
            else:
                tables = arrow_tables(done.value)
                files = {name: f".{name}.parquet" for name in sorted(tables)}
                for name, rows in tables.items():
                    parquet.write(rows, self._path(task, files[name]))
            line["hashes"] = {
                name: digest_of(self._path(task, file)) for name, file in files.items()
            }
            with whole_file(self._path(task, _LINE)) as part:
                part.write_text(json.dumps(line), encoding="utf-8")

    def load(self, task: Task) -> Done:
        """The result that was saved. Raises `CannotRun` where the files are damaged, or of another run."""
        try:
            line = json.loads(read_text(self._path(task, _LINE), _LARGEST))
            main, on_device = (None if most is None else _number(most) for most in line["memory"])
            value = self._value(task, line["hashes"])
            return Done(value, float(line["seconds"]), _number(line["rows"]), (main, on_device))
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
            InputError,
        ) as error:
            path = self._path(task, _LINE)
            what = f"it is damaged: {' '.join(str(error).split())[:200]}"
            remedy = "remove it, and run its shard again"
            raise CannotRun(Fault(str(path), what, remedy)) from None

    def _value(self, task: Task, hashes: Mapping[str, str]) -> Any:
        if task.sums:
            with np.load(self._checked(task, ".npz", hashes[_SUMS])) as kept:
                sums = dict(kept)
            if any(value.dtype.kind not in "biuf" for value in sums.values()):
                raise ValueError("its sums are no numbers")
            return sums
        return [self._rows(task, name, digest) for name, digest in hashes.items()]

    def _rows(self, task: Task, name: str, digest: str) -> Columns:
        kind = _KINDS[name]
        rows = parquet.read(self._checked(task, f".{name}.parquet", digest))
        if set(rows.column("run_id").unique().to_pylist()) - {self._run_id}:
            raise ValueError("its rows are of another run")
        columns = {column: rows.column(column) for column in kind.names()}
        return kind(**columns)

    def _checked(self, task: Task, suffix: str, digest: str) -> Path:
        path = self._path(task, suffix)
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.name} is no file")
        if digest_of(path) != digest:
            raise ValueError(f"{path.name} is not what was written")
        return path

    def _path(self, task: Task, suffix: str) -> Path:
        return self.folder / _slug(task.stage) / f"{task.index:06d}-{_digest(task)}{suffix}"

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"it cannot be written: {error.strerror or error}"
            raise CannotRun(Fault(str(self.folder), what, "make room, or name another")) from None


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 2**60:
        raise ValueError("a number in it is none of rows or bytes")
    return number


def _slug(stage: str) -> str:
    """A stage as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stage).strip(".")


def _digest(task: Task) -> str:
    """Tells tasks of a stage apart by what they are of, beside their places."""
    told = (task.stage, task.label, [prompt.id for prompt in task.prompts or ()])
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]
