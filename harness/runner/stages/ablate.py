"""Replay prompts with features edited, and measure what that does to the answers.

An edit changes nothing before the first position at which it moves anything, nor below its first
layer: only what lies after and above is computed again, from the residual stream and the attention
cache of one baseline forward, many interventions and prompts together.

Rows of `impacts`, one an intervention, prompt and metric; of `impact_tokens`, one an intervention that
was active, prompt and token of a candidate; and of `impact_noise`, one a prompt and metric.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.interventions.layer_edits import EditsByLayer
from harness.models.prompt_rows import PromptRows, members_in
from harness.runner.context import RunContext
from harness.runner.edit_metrics import edit_metrics
from harness.runner.prompt_replays import check_impact, joined, replay_prompts
from harness.specs.intervention import Intervention
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import ImpactNoise, Impacts, ImpactTokens


@dataclass(frozen=True)
class Replay:
    """What is replayed together: `edits` is what `prepare_edits` makes of the interventions."""

    interventions: tuple[Intervention, ...]
    edits: Callable[[RunContext], EditsByLayer]


def ablate(
    context: RunContext,
    interventions: Sequence[Intervention],
    edits: Callable[[RunContext], EditsByLayer],
    sources: Mapping[str, Prompt],
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """The impact of every intervention on every metric of every prompt, and on every token.

    `edits` is what `prepare_edits` makes; `sources` names the prompt that each prompt is resampled
    from, if any. Raises `CannotRun` where an edit leaves the numbers of the dtype. What a no-op changes is
    the device's noise: it is stored, and every impact is held against it.
    """
    # Prompts with the same text are resampled each from its own source: then each has its own row.
    rows = PromptRows(
        context.model, prompts, lambda prompt: repr(sources[prompt.id].asked) if sources else ""
    )
    scores = replay_prompts(context, interventions, edits(context), rows, sources, prompts)
    ids = np.array([edit.id for edit in interventions])
    impacts: list[Impacts] = []
    tokens: list[ImpactTokens] = []
    noises: list[ImpactNoise] = []
    for prompt in prompts:
        of_batch, noise, row = scores[rows.row(prompt)]
        candidates = rows.candidates(prompt)
        active = of_batch.active[:, row].numpy()
        for metric, (before, after) in edit_metrics(context, of_batch, row, candidates).items():
            check_impact(interventions, prompt, metric, after)
            impacts.append(
                Impacts.filled(
                    run_id=context.run_id,
                    intervention_id=ids,
                    prompt_id=prompt.id,
                    metric=metric,
                    baseline=before,
                    edited=after,
                    impact=after - before,
                    active=active,
                    source_id=sources[prompt.id].id if sources else None,
                    origin=context.origin,
                )
            )
        if noise.active[:, row].any():
            changed = edit_metrics(context, noise, row, candidates)
            noises.append(_noise_of(context, interventions[0].ablation, prompt, changed))
        for label, member, answer in members_in(candidates):
            for index, token in enumerate(of_batch.tokens(row, answer)):
                tokens.append(
                    ImpactTokens.filled(
                        run_id=context.run_id,
                        intervention_id=ids[active],
                        prompt_id=prompt.id,
                        candidate=label,
                        token_index=index,
                        member=member,
                        **{name: values[active] for name, values in token.items()},
                        origin=context.origin,
                    )
                )
    return [joined(Impacts, impacts), joined(ImpactTokens, tokens), joined(ImpactNoise, noises)]


def ablate_each(
    context: RunContext,
    replays: Sequence[Replay],
    sources: Sequence[Mapping[str, Prompt]],
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """As `ablate`, of several replays that are made apart, each with sources of its own."""
    rows: list[Columns] = []
    for one, own in zip(replays, sources, strict=True):
        rows += ablate(context, one.interventions, one.edits, own, prompts)
        context = replace(context, heard=lambda *_: None)  # the first has by far the most
    return rows


def _noise_of(
    context: RunContext,
    ablation: str,
    prompt: Prompt,
    changed: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> ImpactNoise:
    """How far edits of nothing moved each metric of a prompt, which they `changed` from and to."""
    return ImpactNoise.filled(
        run_id=context.run_id,
        ablation=ablation,
        prompt_id=prompt.id,
        metric=np.array(list(changed)),
        difference=np.array([np.abs(after - before).max() for before, after in changed.values()]),
        origin=context.origin,
    )
