"""A stored run as Parquet parts by run and layer, added to a folder of them, and back into a results file."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import duckdb
import pyarrow as pa

from harness.errors import CannotRun, Fault, InputError
from harness.names import LONGEST_ID, is_name
from harness.paths import check_own_folder, make_folder
from harness.store.database import Store
from harness.store.database_file import check_path, connect
from harness.store.errors import first_line
from harness.store.export import files, parquet
from harness.store.export.parquet_runs import RunExport, check_tables
from harness.store.find_run import Run
from harness.store.manifests import digest
from harness.store.migrations import VERSION
from harness.store.parts.layout import (
    BY_LAYER,
    INDEX,
    MANIFEST,
    PartName,
    is_index,
    run_folder,
    run_folders,
    run_of,
)
from harness.store.parts.run_parts import FORMAT, RunParts, check_newer, files_by_table, read_run
from harness.store.parts.views import check_folder_name, write_index
from harness.store.tables import TABLES
from harness.store.tables.columns import Columns
from harness.store.tables.results import FeatureLabels
from harness.store.tables.runs import Registrations, Runs

GROUP_ROWS = 2**17  # of a part that are read or left out together
MEMORY = "2 GiB"  # what ordering a layer's rows may take
# What belongs to no run, and to this one all the same.
_SHARED: Mapping[type[Columns], str] = {
    Registrations: "SEMI JOIN (FROM runs WHERE run_id = $run) r USING (spec_hash, target, origin)",
    FeatureLabels: "WHERE source IN (SELECT unnest(neuronpedia) FROM runs WHERE run_id = $run)",
}


def add_run(store: Store, run: Run, folder: Path) -> Path | None:
    """Write a run's parts below a folder, beside those of other runs; returns where, None if it is there.

    They appear whole or not at all, and nothing of another run is touched, so that any number of machines
    can add runs to one folder. A few batches of rows are held at a time. Raises `CannotRun`, and
    `InputError` where no folder can be named after the run.
    """
    run_id = run["run_id"]
    if not is_name(run_id, LONGEST_ID):
        raise InputError(Fault(f"run {run_id}", "no folder can have its id", "run it again"))
    check_folder_name(folder.resolve())
    home = run_folder(folder, run_id)
    if os.path.lexists(home):
        return None
    _check_replaceable(folder / INDEX)
    try:
        with _incoming(folder) as incoming:
            inner = incoming / home.name
            _write_run(store, run_id, inner)
            files_of = files_by_table({inner.resolve(): read_run(inner)})
            write_index(incoming / INDEX, incoming.resolve(), files_of)
            (incoming / INDEX).replace(folder / INDEX)
            inner.rename(home)
    except OSError as error:
        if home.is_dir():  # another process was faster
            return None
        raise files.refused(home, error) from None
    except duckdb.Error as error:
        what = f"cannot be written: {first_line(error)}"
        raise CannotRun(Fault(str(folder / INDEX), what, "name another place")) from None
    return home


def _check_replaceable(index: Path) -> None:
    """Raises `CannotRun` where what lies in the place of the index is none: a results file has tables."""
    if not os.path.lexists(index):
        return
    check_path(index)
    try:
        with connect(index, read_only=True) as there:
            ours = not there.execute("FROM duckdb_tables()").fetchall()
    except duckdb.Error:
        ours = False
    if not ours:
        what = "it is no index of parts, and would be replaced"
        remedy = "name another folder, or move the file away"
        raise CannotRun(Fault(str(index), what, remedy))


def runs_in(source: Path) -> list[Path]:
    """The folders of runs that a path names: an index, its folder, or one of a run; none of other paths."""
    if is_index(source) or is_index(source / INDEX):
        return run_folders(source.resolve().parent if source.is_file() else source)
    return [source] if source.is_dir() and run_of(source) else []


def read_parts(home: Path) -> RunExport:
    """The run whose parts are in a folder. Raises `CannotRun` where one is not what was written."""
    run = read_run(home)
    check_newer(home, run)
    try:
        for name, part in run.parts.items():
            if digest(home / name) != part.sha256:
                what = "it is not the file that was exported"
                raise CannotRun(Fault(str(home / name), what, "export the run again"))
    except OSError as error:
        what = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise CannotRun(Fault(str(home), what, "export the run again")) from None
    few = {Runs.table, Registrations.table}
    check_tables(home, dict(_pieces(home, run, few)), run.run_id)
    return RunExport(run.run_id, run.schema_, lambda: _pieces(home, run))


def _pieces(
    home: Path, run: RunParts, only: frozenset[str] | set[str] = frozenset()
) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each part, with what its path says of them."""
    shared = {kind.table for kind in _SHARED}
    for name in run.names:
        if only and name.table not in only:
            continue
        rows = parquet.read(home / str(name))
        if name.table not in shared:
            rows = rows.append_column("run_id", pa.repeat(run.run_id, len(rows)))
        if name.layer is not None:
            rows = rows.append_column(
                "layer", pa.repeat(pa.scalar(name.layer, pa.int32()), len(rows))
            )
        yield name.table, rows


def _write_run(store: Store, run_id: str, home: Path) -> None:
    """Every table of a run, each as one part or more, and a manifest of them."""
    parts = {}
    for kind in (*TABLES, *_SHARED):
        for layer in _layers(store, run_id, kind):
            names = (PartName(kind.table, layer, number) for number in count())
            values: dict[str, object] = {"run": run_id}
            values |= {} if layer is None else {"layer": layer}
            with store.batches(_rows(kind, layer), values, GROUP_ROWS) as batches:
                paths = (home / str(name) for name in names)
                for path in parquet.write_parts(batches, paths, _first(layer)):
                    size = path.stat().st_size
                    within = path.relative_to(home).as_posix()
                    parts[within] = {"bytes": size, "sha256": digest(path)}
    manifest = {"format": FORMAT, "schema": VERSION, "run_id": run_id, "parts": parts}
    files.write_text(home / MANIFEST, [json.dumps(manifest, indent=1) + "\n"])


def _layers(store: Store, run_id: str, kind: type[Columns]) -> list[int] | list[None]:
    """The layers of which a table has rows; a table without any has one part all the same."""
    if kind.table not in BY_LAYER:
        return [None]
    sql = f"SELECT DISTINCT layer FROM {kind.table} WHERE run_id = $run ORDER BY layer"
    return [layer for (layer,) in store.query(sql, {"run": run_id})[1]] or [0]


def _rows(kind: type[Columns], layer: int | None) -> str:
    """SQL for the rows of a part, without what its path says of them, by feature where they have one."""
    if kind in _SHARED:
        return f"FROM {kind.table} {_SHARED[kind]} ORDER BY ALL"
    said = ("run_id",) if layer is None else ("run_id", "layer")
    names = [name for name in kind.names() if name not in said]
    order = ", ".join(sorted(names, key=lambda name: name != _first(layer)))
    where = "run_id = $run" + ("" if layer is None else " AND layer = $layer")
    return f"SELECT {', '.join(names)} FROM {kind.table} WHERE {where} ORDER BY {order}"


def _first(layer: int | None) -> str | None:
    """The column by which a part's rows are ordered first, where that is another than its first one."""
    return None if layer is None else "feature"


@contextmanager
def _incoming(folder: Path) -> Iterator[Path]:
    """A folder for what is not whole yet, where no view and no reader looks. Raises `OSError`."""
    if str(folder) == files.RUNS:
        check_own_folder(files.RUNS)
    make_folder(folder)
    incoming = folder / f".incoming-{secrets.token_hex(8)}"
    incoming.mkdir()
    try:
        yield incoming
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
