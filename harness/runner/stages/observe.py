"""Look without touching: the scores of both answers, and the features at the readout.

Rows of `answers`, one a token of a prompt's candidate; and of `activations`, a table a layer with one
row a prompt and feature that is active there.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from harness.models.prompt_rows import PromptRows, members_in
from harness.runner.context import RunContext
from harness.runner.readouts import Readout, read
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.observations import Activations, Answers


def observe(context: RunContext, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """Log-probabilities of both candidates' tokens, in nats, and the features at the readout.

    Raises `CannotRun` where NaN or infinity arises.
    """
    rows = PromptRows(context.model, prompts)
    scores, readout = read(context, rows, plan.spec.readout.at, plan.layers, prompts)
    return [
        _answers(context, prompts, rows, scores),
        *(_activations(context, plan, prompts, layer, readout) for layer in plan.layers),
    ]


def _answers(
    context: RunContext,
    prompts: Sequence[Prompt],
    rows: PromptRows,
    scores: dict[int, list[Tensor]],
) -> Answers:
    name_of = cache(context.model.token_of)
    return Answers.of(
        {
            "run_id": context.run_id,
            "prompt_id": prompt.id,
            "candidate": label,
            "member": member,
            "token_index": at,
            "token_id": token,
            "token": name_of(token),
            "logprob": float(logprob),
            "origin": context.origin,
        }
        for prompt in prompts
        for label, member, answer in members_in(rows.candidates(prompt))
        for at, (token, logprob) in enumerate(
            zip(
                rows.tokens[rows.row(prompt)].answers[answer],
                scores[rows.row(prompt)][answer].tolist(),
                strict=True,
            )
        )
    )


def _activations(
    context: RunContext, plan: Plan, prompts: Sequence[Prompt], layer: int, readout: Readout
) -> Activations:
    sae = context.saes(layer)
    most = context.limit.positions(sae.features)
    parts = list(readout.features(layer, sae, plan.spec.readout.reduce, most))
    prompt, feature, value = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return Activations.filled(
        run_id=context.run_id,
        prompt_id=np.array([prompt.id for prompt in prompts])[prompt],
        layer=layer,
        readout=plan.readout,
        feature=feature,
        value=value,
        origin=context.origin,
    )
