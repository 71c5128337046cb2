"""Prompts replayed with their features edited: what stages that measure impacts share."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotRun, Fault
from harness.interventions.complement_edits import complement_of
from harness.interventions.layer_edits import Directions, EditsByLayer, make_layer_edits
from harness.interventions.replay_scores import ReplayScores
from harness.interventions.replays import BatchReplays
from harness.models.memory import cached_rows_within
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.specs.intervention import Intervention
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns

C = TypeVar("C", bound=Columns)


def prepare_edits(
    context: RunContext,
    interventions: Sequence[Intervention],
    directions: Directions = MappingProxyType({}),
) -> EditsByLayer:
    """The edited features of every layer, lowest first: all that the replays need of the SAEs.

    `directions` are those of the baselines that are among the interventions. An intervention of the role
    `complement` is alone, and keeps the whole SAEs of its layers.
    """
    layers = sorted({layer for edit in interventions for layer in edit.layers})
    if any(one.role == "complement" for one in interventions):
        (alone,) = interventions
        return {layer: complement_of(context.saes(layer), layer, alone) for layer in layers}
    return {
        layer: make_layer_edits(context.saes(layer), layer, interventions, directions)
        for layer in layers
    }


def replay_prompts(
    context: RunContext,
    interventions: Sequence[Intervention],
    edits: EditsByLayer,
    rows: PromptRows,
    sources: Mapping[str, Prompt],
    prompts: Sequence[Prompt],
) -> Mapping[int, tuple[ReplayScores, ReplayScores, int]]:
    """By row the scores of its batch, the noise of that, and the row's place in it."""
    source_of: list[Prompt | None] = [None] * len(rows.tokens)
    for prompt in prompts:
        source_of[rows.row(prompt)] = sources.get(prompt.id)

    def replay(chosen: list[int]) -> tuple[ReplayScores, ReplayScores]:
        of_chosen = [source_of[i] for i in chosen]
        return BatchReplays(
            context.model, context.limit, interventions, edits, rows, chosen, of_chosen
        ).scores()

    longest = max(map(len, rows.tokens))
    on_cpu = context.model.device.type == "cpu"
    most = cached_rows_within(
        context.model, context.limit.asked, longest, list(edits), on_cpu=on_cpu
    )
    scores: dict[int, tuple[ReplayScores, ReplayScores, int]] = {}
    for chosen, of_batch in context.batches(rows.tokens, replay, most):
        scores |= {row: (*of_batch, i) for i, row in enumerate(chosen)}
    return scores


def joined(kind: type[C], parts: Sequence[C]) -> C:
    """One table of all of these, as Python's own types."""
    return kind(
        **{
            name: [
                value
                for part in parts
                for column in [getattr(part, name)]
                for value in (column.tolist() if isinstance(column, np.ndarray) else column)
            ]
            for name in kind.names()
        }
    )


def check_impact(
    interventions: Sequence[Intervention],
    prompt: Prompt,
    metric: str,
    after: NDArray[np.float64],
) -> None:
    """Refuse what is no number, (interventions,) each."""
    if not np.isfinite(after).all():
        ablation = interventions[0].ablation
        raise CannotRun(
            Fault(
                f"prompt {prompt.id}",
                f"an edit of ablation {ablation} makes {metric} infinite or NaN",
                "give a smaller value, or use a wider dtype",
            )
        )
