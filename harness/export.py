"""A stored run as files for other programs, and back from them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, Field

from harness import files, parquet, prompt_rows
from harness.diff import diff_features
from harness.faults import Fault, InputError
from harness.formats import FeatureLine
from harness.interventions import from_columns
from harness.lines import ablated_of, ablation_report, feature_lines, result_lines
from harness.records import (
    TABLES,
    Activations,
    Generations,
    Impacts,
    Interventions,
    Prompt,
    Prompts,
    PromptTags,
    Runs,
    TopkLogits,
)
from harness.store import VERSION, Store

Run = dict[str, Any]
Say = Callable[[str], None]
MANIFEST = "manifest.json"
FIRST_EXPORTED = 5  # the first schema of which there are exports


def stored_prompts(store: Store, run_id: str) -> tuple[Prompt, ...]:
    """The prompts of a run, in the order of their file."""
    return prompt_rows.from_columns(store.read(Prompts, run_id), store.read(PromptTags, run_id))


def stored_features(store: Store, run: Run, top: int | None = None) -> list[FeatureLine]:
    """The strongest features of each prompt and layer; all of them where `top` is None."""
    prompts = stored_prompts(store, run["run_id"])
    rows = store.read(Activations, run["run_id"])
    return list(feature_lines(prompts, run["layers"], rows, run["origin"], top))


def as_poc(store: Store, run: Run, folder: Path, *, top: int, say: Say) -> None:
    """The four files of the proof of concept; `say` hears which of them the run has nothing for.

    Raises `CannotRun`.
    """
    run_id = run["run_id"]
    prompts = stored_prompts(store, run_id)
    said = list(
        result_lines(prompts, store.read(Generations, run_id), store.read(TopkLogits, run_id))
    )
    files.write(folder / "results.jsonl", said)
    if not said:
        say("results.jsonl is empty: the spec asks for no new_tokens")
    every = stored_features(store, run)
    files.write(
        folder / "features.jsonl",
        (
            line.model_copy(
                update={
                    "topk_feature_ids": line.topk_feature_ids[:top],
                    "topk_feature_activations": line.topk_feature_activations[:top],
                }
            )
            for line in every
        ),
    )
    if every:
        report = diff_features(every, None, names=(run_id, run_id), top=top)
        files.write(folder / "diff_report.json", report)
    else:
        say("features.jsonl is empty and diff_report.json left out: the run reads no layer")
    found = list(
        ablated_of(
            prompts,
            from_columns(store.read(Interventions, run_id)),
            store.read(Impacts, run_id, metric="log_p_correct"),
        )
    )
    if found:
        told = {name: run[name] for name in ("model", "sae", "seed", "origin")}
        files.write(folder / "ablation_report.json", ablation_report(found, **told))
    else:
        say("ablation_report.json is left out: the run ablates nothing")


def as_parquet(store: Store, run: Run, folder: Path) -> None:
    """Every row of the run: a file for each table, and a manifest that says what this is.

    Raises `CannotRun`.
    """
    for kind in TABLES:
        sql = f"FROM {kind.table} WHERE run_id = $run"
        parquet.write(store.table(sql, {"run": run["run_id"]}), folder / f"{kind.table}.parquet")
    manifest = {"format": "misconception-harness run", "schema": VERSION, "run_id": run["run_id"]}
    files.write_text(folder / MANIFEST, [json.dumps(manifest, indent=2) + "\n"])


def from_parquet(store: Store, folder: Path) -> str:
    """Put an exported run into the store, in one transaction; returns its id.

    An export of an older schema is brought up to date on the way. Raises `InputError` where it is no
    whole export, is of a newer schema, or the store has the run already.
    """
    manifest = _manifest(folder)
    run_id, version = manifest.run_id, manifest.schema_
    if version > VERSION:
        what = f"it is of a newer harness (schema {version}, this one knows {VERSION})"
        raise InputError(Fault(str(folder), what, "upgrade the harness"))
    tables = {
        path.stem: parquet.read(path)
        for path in sorted(folder.glob("*.parquet"))
        if path.stem in {kind.table for kind in TABLES}
    }
    if version == VERSION and (missing := {kind.table for kind in TABLES} - set(tables)):
        what = f"{sorted(missing)[0]}.parquet is missing"
        raise InputError(Fault(str(folder), what, "export the run again"))
    _check_runs(folder, tables, run_id)
    if len(store.read(Runs, run_id)):
        raise InputError(
            Fault(f"run {run_id}", f"{store.path} has it already", "there is nothing to import")
        )
    store.insert(tables, version)
    return run_id


def from_results(store: Store, path: Path, say: Say) -> list[str]:
    """Put the finished runs of another results file into the store; returns their ids.

    What the store has already stays as it is. The other file is read from a copy and not changed.
    Raises `InputError` and `CannotRun`.
    """
    known = set(store.read(Runs).run_id)
    taken = []
    with Store.open_snapshot(path, say=say) as other:
        for run in other.read(Runs).rows():
            run_id = run["run_id"]
            if run_id in known or run["status"] != "finished":
                why = "is here already" if run_id in known else "is not finished"
                say(f"{run_id} {why}: left out")
                continue
            store.insert(
                {
                    kind.table: other.table(
                        f"FROM {kind.table} WHERE run_id = $run", {"run": run_id}
                    )
                    for kind in TABLES
                }
            )
            taken.append(run_id)
    return taken


class _Manifest(BaseModel):
    """What says which run a folder holds, and in which schema."""

    schema_: int = Field(alias="schema", ge=FIRST_EXPORTED)
    run_id: str


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    remedy = "name a folder that `harness export --format parquet` wrote"
    try:
        return _Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"cannot be read: {(error.strerror or str(error)).lower()}"
    except ValueError:  # pydantic's too
        what = "cannot be read: it names no schema and run of this harness"
    raise InputError(Fault(str(path), what, remedy))


def _check_runs(folder: Path, tables: dict[str, pa.Table], run_id: str) -> None:
    """All rows are of the one run, and its line is there."""
    for name, table in tables.items():
        ids = set(table.column("run_id").to_pylist()) if "run_id" in table.column_names else {None}
        if ids - {run_id} or (name == "runs" and table.num_rows != 1):
            what = f"{name}.parquet holds other rows than those of run {run_id}"
            raise InputError(Fault(str(folder), what, "export the run again"))
    if tables["runs"].column("status").to_pylist() != ["finished"]:
        raise InputError(Fault(str(folder), f"run {run_id} is not finished", "finish it first"))
