"""Features token by token: where in a prompt, and in what its variant says, some of them fire.

Rows of `prompt_tokens`, one a token of a prompt and its own answer; and of `token_activations`, a table
a prompt and layer with one row a token and feature that is active there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.models.finite import check_finite
from harness.models.hooks import capture
from harness.models.padded_batch import positions_of, rows_of
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.traced_features import Integers, prepare_trace
from harness.sae import encode
from harness.specs.intervention import Feature
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.observations import PromptTokens, TokenActivations


@dataclass(frozen=True)
class _Firings:
    """What is active in a batch at one layer, (n,) each: in which row, at which token, how much."""

    row: Integers
    branch: Integers
    place: Integers
    feature: Integers
    value: NDArray[np.float32]


def trace(
    context: RunContext,
    features: Collection[Feature],
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """Every token of the prompts and their own answers, and the `features`' values at all but BOS.

    Raises `CannotRun` where NaN or infinity arises.
    """
    rows = PromptRows(context.model, prompts)
    prompts_of_row: dict[int, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        prompts_of_row[rows.row(prompt)].append(prompt)
    traced = prepare_trace(context, features)

    def trace_batch(chosen: list[int]) -> dict[int, _Firings]:
        batch = context.model.batch([rows.tokens[i] for i in chosen])
        positions = positions_of(batch, "all")
        row, branch, place = (
            values.numpy()
            for values in (
                rows_of(positions, chosen),
                batch.branch[positions],
                batch.place[positions],
            )
        )
        streams: dict[int, Tensor] = {}
        context.model.forward(batch, capture(traced, streams, positions))
        check_finite(streams, context.model.dtype)
        layers = sorted(traced)
        # Of a few features each, so that all of them are copied from the device together.
        parts = [encode(traced[layer].sae, streams[layer]) for layer in layers]
        copied = torch.cat(parts, 1).cpu().split([part.shape[1] for part in parts], 1)
        firings: dict[int, _Firings] = {}
        for layer, values in zip(layers, copied, strict=True):
            at, which = (index.numpy() for index in values.nonzero(as_tuple=True))
            firings[layer] = _Firings(
                row[at],
                branch[at],
                place[at],
                traced[layer].features[which],
                values.numpy()[at, which],
            )
        return firings

    tables: list[Columns] = [_tokens(context, rows, prompts)]
    for chosen, by_layer in context.batches(rows.tokens, trace_batch) if traced else ():
        for layer, firings in by_layer.items():
            for row in chosen:
                of_row = firings.row == row
                for prompt in prompts_of_row[row]:
                    # Another variant's answer lies beside this one's in the row.
                    branches = (0, rows.own_answer(prompt) + 1)
                    mine = of_row & np.isin(firings.branch, branches)
                    tables.append(_activations(context, prompt, layer, firings, mine))
    return tables


def _tokens(context: RunContext, rows: PromptRows, prompts: Sequence[Prompt]) -> PromptTokens:
    name_of = cache(context.model.token_of)

    def lines(prompt: Prompt) -> Iterable[dict[str, Any]]:
        tokens = rows.tokens[rows.row(prompt)]
        answer = tokens.answers[rows.own_answer(prompt)]
        for position, token in enumerate((*tokens.prompt, *answer)):
            yield {
                "run_id": context.run_id,
                "prompt_id": prompt.id,
                "position": position,
                "part": "prompt" if position < len(tokens.prompt) else "answer",
                "token_id": token,
                "token": name_of(token),
                "origin": context.origin,
            }

    return PromptTokens.of(line for prompt in prompts for line in lines(prompt))


def _activations(
    context: RunContext, prompt: Prompt, layer: int, firings: _Firings, mine: NDArray[np.bool_]
) -> TokenActivations:
    """The rows of those firings that are the prompt's own, `mine` (n,)."""
    return TokenActivations.filled(
        run_id=context.run_id,
        prompt_id=prompt.id,
        layer=layer,
        feature=firings.feature[mine],
        position=firings.place[mine],
        value=firings.value[mine],
        origin=context.origin,
    )
