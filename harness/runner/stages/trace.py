"""Features token by token: where in a prompt, and in what its variant says, some of them fire."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.models.adaptive_batching import each
from harness.models.finite import check_finite
from harness.models.forward import Tap
from harness.models.padded_batch import where
from harness.models.prompt_rows import Rows
from harness.runner.context import Bench
from harness.sae.jumprelu import Sae, encode
from harness.specs.intervention import Feature
from harness.specs.prompt import Prompt
from harness.store.tables.base import Columns
from harness.store.tables.observations import PromptTokens, TokenActivations

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Followed:
    """Some features of one layer: their part of its SAE, and their indices in it, (k,)."""

    sae: Sae
    features: Integers


@dataclass(frozen=True)
class _Fired:
    """What is active in a batch at one layer, (n,) each: in which row, at which token, how much."""

    row: Integers
    branch: Integers
    place: Integers
    feature: Integers
    value: NDArray[np.float32]


def followed(bench: Bench, features: Iterable[Feature]) -> Mapping[int, Followed]:
    """What a trace needs of the SAEs: of each layer the columns of these features, and no more."""
    layers: dict[int, list[int]] = defaultdict(list)
    for layer, feature in sorted(features):
        layers[layer].append(feature)
    found = {}
    for layer, some in layers.items():
        sae = bench.saes(layer)
        part = sae.only(torch.tensor(some, device=sae.w_enc.device))
        found[layer] = Followed(part, np.array(some))
    return found


def trace(
    bench: Bench, features: Callable[[], Mapping[int, Followed]], prompts: Sequence[Prompt]
) -> list[Columns]:
    """Every token of the prompts and their own answers, and the features' values at all but BOS."""
    rows = Rows(bench.model, prompts)
    own: dict[int, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        own[rows.row(prompt)].append(prompt)
    layers = features()

    def look(chosen: list[int]) -> dict[int, _Fired]:
        batch = bench.model.batch([rows.tokens[i] for i in chosen])
        positions = where(batch, "all")
        row, column = (at.cpu().numpy() for at in positions.nonzero(as_tuple=True))
        branch, place = (t.cpu().numpy()[row, column] for t in (batch.branch, batch.place))
        seen: dict[int, _Fired] = {}

        def tap(layer: int) -> Tap:
            def fired(residual: Tensor) -> None:
                stream = residual[positions]
                check_finite({layer: stream}, bench.model.dtype)
                values = encode(layers[layer].sae, stream)
                at, which = (index.cpu().numpy() for index in values.nonzero(as_tuple=True))
                seen[layer] = _Fired(
                    np.array(chosen)[row[at]],
                    branch[at],
                    place[at],
                    layers[layer].features[which],
                    values.cpu().numpy()[at, which],
                )

            return fired

        bench.model.forward(batch, {layer: tap(layer) for layer in layers})
        return seen

    found: list[Columns] = [_tokens(bench, rows, prompts)]
    for chosen, seen in each(bench.limit, rows.tokens, look) if layers else ():
        for layer, fired in seen.items():
            for row in chosen:
                here = fired.row == row
                for prompt in own[row]:
                    # Another variant's answer lies beside this one's in the row.
                    mine = here & np.isin(fired.branch, (0, rows.own(prompt) + 1))
                    found.append(_activations(bench, prompt, layer, fired, mine))
    return found


def _tokens(bench: Bench, rows: Rows, prompts: Sequence[Prompt]) -> PromptTokens:
    names: dict[int, str] = {}

    def told(prompt: Prompt) -> Iterable[dict[str, Any]]:
        tokens = rows.tokens[rows.row(prompt)]
        answer = tokens.answers[rows.own(prompt)]
        for position, token in enumerate((*tokens.prompt, *answer)):
            yield {
                "run_id": bench.run_id,
                "prompt_id": prompt.id,
                "position": position,
                "part": "prompt" if position < len(tokens.prompt) else "answer",
                "token_id": token,
                "token": names.setdefault(token, bench.model.token_of(token)),
                "origin": bench.origin,
            }

    return PromptTokens.of(token for prompt in prompts for token in told(prompt))


def _activations(
    bench: Bench, prompt: Prompt, layer: int, fired: _Fired, mine: NDArray[np.bool_]
) -> TokenActivations:
    size = int(mine.sum())
    return TokenActivations(
        run_id=[bench.run_id] * size,
        prompt_id=[prompt.id] * size,
        layer=np.full(size, layer),
        feature=fired.feature[mine],
        position=fired.place[mine],
        value=fired.value[mine],
        origin=[bench.origin] * size,
    )
