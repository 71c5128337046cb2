"""A stored run as Parquet files with a manifest, and back into a results file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, model_validator

from harness.errors import Fault, InputError, Say
from harness.names import LONGEST_ID, PATTERN
from harness.specs.text_file import read_text
from harness.store.database import Store
from harness.store.export import files, parquet
from harness.store.find_run import Run
from harness.store.migrations import VERSION, upgrade_tables
from harness.store.registrations import OF_RUN, are_kin, registrations_of, take_in
from harness.store.stored_spec import check_run
from harness.store.tables import TABLES
from harness.store.tables.results import FeatureLabels
from harness.store.tables.runs import Registrations, Runs

FORMAT, MANIFEST = "misconception-harness run", "manifest.json"
LARGEST = 100_000  # bytes of a manifest
FIRST_EXPORTED = 5  # the first schema of which there are exports


@dataclass(frozen=True)
class RunExport:
    """A run as it was exported: its Arrow tables, by the names of the store's, and their schema."""

    run_id: str
    schema: int
    tables: Mapping[str, pa.Table]


def export_parquet(store: Store, run: Run, folder: Path) -> None:
    """Every row of the run: a file for each table, and a manifest that says what this is.

    Raises `CannotRun`.
    """
    sums = {}
    registered = Registrations.table, registrations_of(store, run)
    for name, rows in (*store.tables(run["run_id"]), registered):
        path = folder / f"{name}.parquet"
        parquet.write(rows, path)
        sums[name] = _digest(path)
    manifest = {"format": FORMAT, "schema": VERSION, "run_id": run["run_id"], "sha256": sums}
    files.write_text(folder / MANIFEST, [json.dumps(manifest, indent=2) + "\n"])


def read_export(folder: Path) -> RunExport:
    """A folder that `as_parquet` wrote. Raises `InputError` where it is not whole, or of a newer schema."""
    manifest = _manifest(folder)
    if manifest.schema_ > VERSION:
        what = f"it is of a newer harness (schema {manifest.schema_}, this one knows {VERSION})"
        raise InputError(Fault(str(folder), what, "upgrade the harness"))
    tables = {}
    for name, digest in manifest.sha256.items():
        path = folder / f"{name}.parquet"
        if path.is_symlink() or not path.is_file():
            raise InputError(Fault(str(path), "it is missing", "export the run again"))
        tables[name] = parquet.read(path)
        if _digest(path) != digest:
            what = "it is not the file that was exported"
            raise InputError(Fault(str(path), what, "export the run again"))
    _check_run(folder, tables, manifest.run_id)
    return RunExport(manifest.run_id, manifest.schema_, tables)


def import_parquet(store: Store, export: RunExport) -> str:
    """Put an exported run into the store, in one transaction; returns its id.

    An export of an older schema is brought up to date on the way. Raises `InputError` where the store
    has the run already, or where these are no tables of a results file.
    """
    if len(store.read(Runs, export.run_id)):
        what = f"{store.path} has it already"
        raise InputError(Fault(f"run {export.run_id}", what, "there is nothing to import"))
    tables = dict(export.tables)
    if export.schema < VERSION:
        tables = upgrade_tables(tables, export.schema)
    registered = tables.pop(Registrations.table)
    with store.together():
        store.insert(tables)
        own = [export.run_id]
        take_in(store, registered, own, known=own, kin=False)
    return export.run_id


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


class _Manifest(BaseModel):
    """What says which run a folder holds, in which schema, and the sum of each table's file."""

    schema_: int = Field(alias="schema", ge=FIRST_EXPORTED)
    run_id: str = Field(pattern=PATTERN, max_length=LONGEST_ID)
    sha256: dict[str, str]

    @model_validator(mode="after")
    def _is_whole(self) -> "_Manifest":
        names = {*(kind.table for kind in TABLES), Registrations.table}
        if self.schema_ == VERSION and set(self.sha256) != names:
            raise ValueError("it does not name every table")
        if "runs" not in self.sha256 or not names.issuperset(self.sha256):
            raise ValueError("it names no tables")
        return self


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    remedy = "name a folder that `harness export --format parquet` wrote"
    try:
        return _Manifest.model_validate_json(read_text(path, LARGEST))
    except InputError as error:
        what = error.faults[0].what
    except ValueError:  # pydantic's too
        what = "cannot be read: it names no schema and run of this harness"
    raise InputError(Fault(str(path), what, remedy))


def _check_run(folder: Path, tables: Mapping[str, pa.Table], run_id: str) -> None:
    """All rows are of the one run, which is finished, and its line is there."""
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


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
