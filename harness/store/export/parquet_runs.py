"""A stored run as Parquet files with a manifest, and back into a results file."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from harness.errors import Fault, InputError, Say
from harness.store.database import Store
from harness.store.errors import not_tables
from harness.store.export import files, parquet
from harness.store.find_run import Run
from harness.store.manifests import RunManifest, digest, read_manifest
from harness.store.migrations import VERSION, upgrade_tables
from harness.store.registrations import OF_RUN, are_kin, registrations_of, take_in
from harness.store.stored_spec import check_run
from harness.store.tables import TABLES
from harness.store.tables.results import FeatureLabels
from harness.store.tables.runs import Registrations, Runs

FORMAT, MANIFEST = "misconception-harness run", "manifest.json"
LARGEST = 100_000  # bytes of a manifest


@dataclass(frozen=True)
class RunExport:
    """A run as it was exported, and in which schema.

    `pieces` gives its Arrow tables by the names of the store's, one of them in several pieces where it was
    written so.
    """

    run_id: str
    schema: int
    pieces: Callable[[], Iterable[tuple[str, pa.Table]]]


def export_parquet(store: Store, run: Run, folder: Path) -> None:
    """Every row of the run: a file for each table, and a manifest that says what this is.

    Raises `CannotRun`.
    """
    sums = {}
    registered = Registrations.table, registrations_of(store, run)
    for name, rows in (*store.tables(run["run_id"]), registered):
        path = folder / f"{name}.parquet"
        parquet.write(rows, path)
        sums[name] = digest(path)
    manifest = {"format": FORMAT, "schema": VERSION, "run_id": run["run_id"], "sha256": sums}
    files.write_text(folder / MANIFEST, [json.dumps(manifest, indent=2) + "\n"])


def read_export(folder: Path) -> RunExport:
    """A folder that `as_parquet` wrote. Raises `InputError` where it is not whole, or of a newer schema."""
    remedy = "name a folder that `harness export --format parquet` wrote"
    manifest = read_manifest(folder / MANIFEST, _Manifest, most=LARGEST, remedy=remedy)
    if manifest.schema_ > VERSION:
        what = f"it is of a newer harness (schema {manifest.schema_}, this one knows {VERSION})"
        raise InputError(Fault(str(folder), what, "upgrade the harness"))
    tables = {}
    for name, sum_ in manifest.sha256.items():
        path = folder / f"{name}.parquet"
        if path.is_symlink() or not path.is_file():
            raise InputError(Fault(str(path), "it is missing", "export the run again"))
        tables[name] = parquet.read(path)
        if digest(path) != sum_:
            what = "it is not the file that was exported"
            raise InputError(Fault(str(path), what, "export the run again"))
    check_tables(folder, tables, manifest.run_id)
    return RunExport(manifest.run_id, manifest.schema_, tables.items)


def import_runs(store: Store, exports: Sequence[RunExport], say: Say) -> list[str]:
    """Put exported runs of one place into the store, in one transaction: all go in or nothing.

    Returns their ids, without those that the store has already. An export of an older schema is brought up
    to date on the way. Raises `InputError` where there is nothing to put in, or where these are no tables
    of a results file.
    """
    stored = set(map(str, store.read(Runs).run_id))
    fresh = [export for export in exports if export.run_id not in stored]
    for export in exports if fresh else ():
        if export.run_id in stored:
            say(f"{export.run_id} is here already: left out")
    if not fresh:
        what = f"{store.path} has it already"
        raise InputError(Fault(f"run {exports[0].run_id}", what, "there is nothing to import"))
    imported = [export.run_id for export in fresh]
    known = [export.run_id for export in exports]
    with store.together():
        registered = [rows for export in fresh for rows in _insert(store, export)]
        take_in(store, pa.concat_tables(registered), imported, known=known, kin=False)
    return imported


def _insert(store: Store, export: RunExport) -> list[pa.Table]:
    """Put in the rows of a run; returns what is registered of its spec."""
    pieces = export.pieces()
    if export.schema < VERSION:
        pieces = upgrade_tables(_joined(pieces), export.schema).items()
    registered = []
    for name, rows in pieces:
        if name == Registrations.table:
            registered.append(rows)
        elif name == FeatureLabels.table:
            store.put_labels(_labels(rows), overwrite=False)
        else:
            store.insert({name: rows})
    return registered


def _joined(pieces: Iterable[tuple[str, pa.Table]]) -> dict[str, pa.Table]:
    tables: dict[str, list[pa.Table]] = defaultdict(list)
    for name, rows in pieces:
        tables[name].append(rows)
    return {name: pa.concat_tables(parts) for name, parts in tables.items()}


def _labels(rows: pa.Table) -> FeatureLabels:
    if wrong := set(FeatureLabels.names()) ^ set(rows.column_names):
        raise not_tables(f"{FeatureLabels.table} should have other columns: see '{min(wrong)}'")
    return FeatureLabels(*(rows.column(name) for name in FeatureLabels.names()))


def import_results(store: Store, other: Store, say: Say) -> list[str]:
    """Put the finished runs of another results file into the store, its labels and what it has registered.

    Returns the runs' ids. All goes in or nothing, and what the store has already stays as it is. Raises
    `InputError` and `CannotRun`.
    """
    stored = set(store.read(Runs).run_id)
    imported = []
    runs = list(other.read(Runs).rows())
    for run in runs:
        if run["run_id"] not in stored and run["status"] == "finished":
            check_run(run)
    kin = are_kin(store, other)
    with store.together():
        for run in runs:
            run_id = run["run_id"]
            if run_id in stored or run["status"] != "finished":
                why = "is here already" if run_id in stored else "is not finished"
                say(f"{run_id} {why}: left out")
                continue
            store.insert(dict(other.tables(run_id)))
            imported.append(run_id)
        store.put_labels(other.read(FeatureLabels), overwrite=False)
        # Also those of specs that were never run.
        registered = other.table(f"FROM {Registrations.table} ORDER BY ALL")
        take_in(store, registered, imported, known=[run["run_id"] for run in runs], kin=kin)
    return imported


class _Manifest(RunManifest):
    """What says which run a folder holds, in which schema, and the sum of each table's file."""

    sha256: dict[str, str]

    @model_validator(mode="after")
    def _is_whole(self) -> "_Manifest":
        names = {*(kind.table for kind in TABLES), Registrations.table}
        if self.schema_ == VERSION and set(self.sha256) != names:
            raise ValueError("it does not name every table")
        if "runs" not in self.sha256 or not names.issuperset(self.sha256):
            raise ValueError("it names no tables")
        return self


def check_tables(folder: Path, tables: Mapping[str, pa.Table], run_id: str) -> None:
    """Raises `InputError` unless all rows are of the one run, which is finished, and its line is there."""
    for name, table in tables.items():
        if name == Registrations.table:  # of no run, and held against its spec below
            continue
        ids = (
            set(pc.unique(table["run_id"]).to_pylist())
            if "run_id" in table.column_names
            else {None}
        )
        if ids - {run_id} or (name == "runs" and table.num_rows != 1):
            what = f"{name}.parquet holds other rows than those of run {run_id}"
            raise InputError(Fault(str(folder), what, "export the run again"))
    (run,) = tables["runs"].to_pylist()
    check_run(run)
    registered = tables.get(Registrations.table, pa.table({})).to_pylist()
    if any(one.get(name) != run[name] for one in registered for name in OF_RUN):
        what = f"{Registrations.table}.parquet holds others than those of run {run_id}"
        raise InputError(Fault(str(folder), what, "export the run again"))
    if tables["runs"]["status"].to_pylist() != ["finished"]:
        raise InputError(Fault(str(folder), f"run {run_id} is not finished", "finish it first"))
