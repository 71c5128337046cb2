"""A stored run as files for other programs, and back from them."""

from pathlib import Path
from typing import Any

from harness.errors import Say
from harness.specs.prompt import Prompt
from harness.store import prompts as prompt_rows
from harness.store.database import Store
from harness.store.export import files
from harness.store.export.feature_diff import diff_features
from harness.store.export.formats import FeatureLine
from harness.store.export.jsonl import ablated_of, ablation_report, feature_lines, result_lines
from harness.store.interventions import from_columns
from harness.store.tables.interventions import Impacts, Interventions
from harness.store.tables.observations import Activations, Generations, TopkLogits
from harness.store.tables.runs import Prompts, PromptTags

Run = dict[str, Any]


def stored_prompts(store: Store, run_id: str) -> tuple[Prompt, ...]:
    """The prompts of a run, in the order of their file."""
    return prompt_rows.from_columns(store.read(Prompts, run_id), store.read(PromptTags, run_id))


def stored_features(store: Store, run: Run) -> list[FeatureLine]:
    """All features of each prompt and layer, the strongest first."""
    prompts = stored_prompts(store, run["run_id"])
    rows = store.read(Activations, run["run_id"])
    return list(feature_lines(prompts, run["layers"], rows, run["origin"]))


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
