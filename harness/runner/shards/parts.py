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
from harness.store.arrow import arrow_tables
from harness.store.export import parquet
from harness.store.tables import TABLES
from harness.store.tables.columns import Columns

_KINDS = {kind.table: kind for kind in TABLES}
_LINE = ".json"  # of a part: written last, it says that the part is whole


class Parts:
    """The parts of one run, in its folder. Raises `CannotRun` where the disk does not let it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, task: Task) -> bool:
        """Whether a task's part is there, and whole."""
        return self._path(task, _LINE).exists()

    def save(self, task: Task, done: Done) -> None:
        """Put a task's result there; of two that are saved, one stays."""
        line: dict[str, Any] = {"seconds": done.seconds, "rows": done.rows, "memory": done.memory}
        with self._said():
            self.folder.joinpath(_slug(task.stage)).mkdir(parents=True, exist_ok=True)
            if isinstance(done.value, Mapping):
                with whole_file(self._path(task, ".npz")) as part, part.open("wb") as file:
                    np.savez(file, **done.value)
                line |= {"is": "sums", "files": [".npz"]}
            elif isinstance(done.value, list):
                tables = arrow_tables(done.value)
                for name, rows in tables.items():
                    parquet.write(rows, self._path(task, f".{name}.parquet"))
                files = [f".{name}.parquet" for name in sorted(tables)]
                line |= {"is": "rows", "tables": sorted(tables), "files": files}
            else:
                line |= {"is": "value", "value": done.value, "files": []}
            line["hashes"] = [digest_of(self._path(task, file)) for file in line["files"]]
            with whole_file(self._path(task, _LINE)) as part:
                part.write_text(json.dumps(line), encoding="utf-8")

    def load(self, task: Task) -> Done:
        """The result that was saved. Raises `CannotRun` where the files are damaged."""
        try:
            line = json.loads(self._path(task, _LINE).read_text(encoding="utf-8"))
            for file, digest in zip(line["files"], line["hashes"], strict=True):
                if digest_of(path := self._path(task, str(file))) != digest:
                    raise ValueError(f"{path.name} is not what was written")
            return Done(
                self._value(task, line), line["seconds"], line["rows"], tuple(line["memory"])
            )
        except (OSError, ValueError, KeyError, TypeError, InputError) as error:
            path = self._path(task, _LINE)
            what = f"it is damaged: {' '.join(str(error).split())[:200]}"
            remedy = "remove it, and run its shard again"
            raise CannotRun(Fault(str(path), what, remedy)) from None

    def _value(self, task: Task, line: Mapping[str, Any]) -> Any:
        if line["is"] == "sums":
            with np.load(self._path(task, ".npz")) as kept:
                return dict(kept)
        if line["is"] == "rows":
            return [self._rows(task, str(name)) for name in line["tables"]]
        return line["value"]

    def _rows(self, task: Task, name: str) -> Columns:
        kind, rows = _KINDS[name], parquet.read(self._path(task, f".{name}.parquet"))
        columns = {column: rows.column(column) for column in kind.names()}
        return kind(**columns)

    def _path(self, task: Task, suffix: str) -> Path:
        return self.folder / _slug(task.stage) / f"{task.index:06d}-{_digest(task)}{suffix}"

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"it cannot be written: {error.strerror or error}"
            raise CannotRun(Fault(str(self.folder), what, "make room, or name another")) from None


def _slug(stage: str) -> str:
    """A stage as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stage).strip(".")


def _digest(task: Task) -> str:
    """Tells tasks of a stage apart by what they are of."""
    told = (task.stage, task.label, [prompt.id for prompt in task.prompts or ()])
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]
