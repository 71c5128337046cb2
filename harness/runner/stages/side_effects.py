"""Replay prompts that an edit is not meant for, and measure what it does to them.

They are those of the pair's other variant, or of another file. Rows of `side_effects`, one an
intervention, prompt and metric.
"""

from collections.abc import Callable, Sequence

import numpy as np

from harness.interventions.layer_edits import EditsByLayer
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.edit_metrics import edit_metrics
from harness.runner.prompt_replays import check_impact, joined, replay_prompts
from harness.specs.intervention import Intervention
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import SideEffects


def side_effects(
    context: RunContext,
    interventions: Sequence[Intervention],
    edits: Callable[[RunContext], EditsByLayer],
    file: str,
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """The impact of every intervention on every metric of prompts of a `file`; '' for the other variant's.

    `edits` is what `prepare_edits` makes. Raises `CannotRun` where an edit leaves the numbers of the dtype.
    """
    rows = PromptRows(context.model, prompts)
    scores = replay_prompts(context, interventions, edits(context), rows, {}, prompts)
    ids = np.array([edit.id for edit in interventions])
    roles = np.array([edit.role for edit in interventions])
    found: list[SideEffects] = []
    for prompt in prompts:
        of_batch, _, row = scores[rows.row(prompt)]
        measured = edit_metrics(context, of_batch, row, rows.candidates(prompt))
        for metric, (before, after) in measured.items():
            check_impact(interventions, prompt, metric, after)
            found.append(
                SideEffects.filled(
                    run_id=context.run_id,
                    ablation=interventions[0].ablation,
                    file=file,
                    intervention_id=ids,
                    role=roles,
                    family=prompt.family,
                    prompt_id=prompt.id,
                    metric=metric,
                    baseline=before,
                    edited=after,
                    impact=after - before,
                    active=of_batch.active[:, row].numpy(),
                    origin=context.origin,
                )
            )
    return [joined(SideEffects, found)]
