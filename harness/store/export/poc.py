"""A stored run as the four files of the proof of concept."""

from pathlib import Path

from harness.errors import Say
from harness.store.export import files
from harness.store.export.feature_diff import diff_features
from harness.store.export.jsonl import (
    MADE_WITH,
    ablation_entries,
    ablation_report,
    result_lines,
    stored_features,
)
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.interventions import interventions_of
from harness.store.prompts import stored_prompts
from harness.store.tables.interventions import Impacts, Interventions
from harness.store.tables.observations import Generations, TopkLogits


def export_poc(store: ReadStore, run: Run, folder: Path, *, top: int, say: Say) -> None:
    """The four files of the proof of concept; `say` hears which of them the run has nothing for.

    Raises `CannotRun`.
    """
    run_id = run["run_id"]
    prompts = stored_prompts(store, run_id)
    said, logits = store.read(Generations, run_id), store.read(TopkLogits, run_id)
    made_with = {name: run[name] for name in MADE_WITH}
    results = list(result_lines(prompts, said, logits, made_with))
    files.write(folder / "results.jsonl", results)
    if not results:
        say("results.jsonl is empty: the spec asks for no new_tokens")
    features = stored_features(store, run)
    files.write(
        folder / "features.jsonl",
        (
            line.model_copy(
                update={
                    "topk_feature_ids": line.topk_feature_ids[:top],
                    "topk_feature_activations": line.topk_feature_activations[:top],
                }
            )
            for line in features
        ),
    )
    if features:
        report = diff_features(features, None, names=(run_id, run_id), top=top)
        files.write(folder / "diff_report.json", report)
    else:
        say("features.jsonl is empty and diff_report.json left out: the run reads no layer")
    entries = list(
        ablation_entries(
            prompts,
            interventions_of(store.read(Interventions, run_id)),
            store.read(Impacts, run_id, metric="log_p_correct"),
        )
    )
    if entries:
        about = {name: run[name] for name in ("seed", "origin")}
        files.write(
            folder / "ablation_report.json",
            ablation_report(entries, made_with=made_with, **about),
        )
    else:
        say("ablation_report.json is left out: the run ablates nothing")
