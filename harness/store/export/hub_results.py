"""A run's verdicts in the Hub's evaluation-result format, `.eval_results/*.yaml` of a model.

The format is described at https://huggingface.co/docs/hub/eval-results.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from harness.errors import Fault, InputError
from harness.names import child
from harness.store.export import files
from harness.store.tables.results import Verdicts
from harness.store.values import json_value

FOLDER = ".eval_results"


def write_results(run: Mapping[str, Any], verdicts: Verdicts, folder: Path, dataset: str) -> Path:
    """One entry for each claim that has an estimate; returns the file.

    `dataset` is the Hub's dataset that holds the prompts. Raises `InputError` for a mock, whose
    estimates say nothing of a model.
    """
    if run["origin"] == "mock":
        what = "it ran with random SAEs, which say nothing of a model"
        raise InputError(Fault(f"run {run['run_id']}", what, "export it as parquet"))
    entries = [
        EvalResultEntry(
            dataset_id=dataset,
            task_id=f"{run['spec_name']}/{row['claim']}",
            value=row["estimate"],
            date=f"{run['finished_at']:%Y-%m-%dT%H:%M:%SZ}",
            notes=_notes(run, row),
        )
        for row in map(json_value, verdicts.rows())
        if row["estimate"] is not None
    ]
    if not entries:
        what = "none of its claims has an estimate"
        raise InputError(Fault(f"run {run['run_id']}", what, "export it as parquet"))
    inner = folder / FOLDER
    inner.mkdir(exist_ok=True)
    text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, width=10**6)
    return files.write_text(child(inner, run["spec_name"], ".yaml"), [text])


def _notes(run: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The unit, the verdict and what it rests on, in a line."""
    low, high = row["ci_low"], row["ci_high"]
    interval = "" if low is None else f", interval [{low:.3f}, {high:.3f}]"
    p = "" if row["p"] is None else f", p {row['p']:.2g}"
    marks = [run["dtype"], f"run {run['run_id']}"]
    if row["exploratory"]:
        marks.insert(0, "exploratory")
    if run["origin"] != "real":
        marks.insert(0, f"{run['origin']}, not evidence of another model")
    return f"{row['unit']}{interval}{p}; {row['verdict']}: {row['because']}; {'; '.join(marks)}"
