"""Look without touching: answers, features at the readout, and generations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.models.adaptive_batching import each
from harness.models.finite import check_finite, check_scores
from harness.models.forward import Tap
from harness.models.padded_batch import Batch, where
from harness.models.prompt_rows import Rows
from harness.runner.context import Bench
from harness.sae.jumprelu import Sae, encode
from harness.sae.pooling import pool
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.base import Columns
from harness.store.tables.observations import Activations, Answers


def observe(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """Log-probabilities of both candidates' tokens, and the features at the readout."""
    rows = Rows(bench.model, prompts)
    scored: dict[int, list[Tensor]] = {}
    reading = _Reading(rows, plan, prompts)

    def look(chosen: list[int]) -> Seen:
        batch = bench.model.batch([rows.tokens[i] for i in chosen])
        positions = where(batch, plan.spec.readout.at)
        seen: dict[int, Tensor] = {}

        def tap(layer: int) -> Tap:
            return lambda residual: seen.__setitem__(layer, residual[positions])

        answers = bench.model.forward(batch, {layer: tap(layer) for layer in plan.layers})
        check_finite(seen, bench.model.dtype)
        check_scores(answers, bench.model.dtype)
        return Seen(batch, positions, answers, seen)

    for chosen, seen in each(bench.limit, rows.tokens, look):
        scored |= dict(zip(chosen, seen.answers, strict=True))
        reading.add(chosen, seen)
    return [
        _answers(bench, prompts, rows, scored),
        *(_activations(bench, plan, prompts, layer, reading) for layer in plan.layers),
    ]


@dataclass(frozen=True)
class Seen:
    """One batch: its answers' scores, and the residual stream at some positions, by layer."""

    batch: Batch
    positions: Tensor
    answers: list[list[Tensor]]
    residuals: dict[int, Tensor]


class _Reading:
    """Residuals at the readout as batches pass by, and which prompt each of them belongs to.

    A row's prompt tokens serve every prompt with that text; an answer's tokens only the prompts
    whose own answer it is.
    """

    def __init__(self, rows: Rows, plan: Plan, prompts: Sequence[Prompt]) -> None:
        self._served: dict[int, list[tuple[int, int]]] = {}
        for i, prompt in enumerate(prompts):
            self._served.setdefault(rows.row(prompt), []).append((i, rows.own(prompt) + 1))
        self._found: dict[int, list[Tensor]] = {layer: [] for layer in plan.layers}
        self._positions: list[int] = []
        self._owners: list[int] = []
        self._seen = 0

    def add(self, chosen: Sequence[int], seen: Seen) -> None:
        rows = seen.positions.nonzero()[:, 0].tolist()
        branches = seen.batch.branch[seen.positions].tolist()
        for at, (i, branch) in enumerate(zip(rows, branches, strict=True), start=self._seen):
            for prompt, own in self._served[chosen[i]]:
                if branch in (0, own):
                    self._positions.append(at)
                    self._owners.append(prompt)
        self._seen += len(rows)
        for layer, residual in seen.residuals.items():
            self._found[layer].append(residual)

    def values(self, layer: int, sae: Sae, prompts: int, how: str) -> Tensor:
        """Each prompt's features, (prompts, features)."""
        values = encode(sae, torch.cat(self._found[layer]))
        chosen = torch.tensor(self._positions, device=values.device)
        owners = torch.tensor(self._owners, device=values.device)
        return pool(values[chosen], owners, prompts, how)


def _answers(
    bench: Bench, prompts: Sequence[Prompt], rows: Rows, scored: dict[int, list[Tensor]]
) -> Answers:
    names: dict[int, str] = {}
    return Answers.of(
        {
            "run_id": bench.run_id,
            "prompt_id": prompt.id,
            "candidate": label,
            "token_index": at,
            "token_id": token,
            "token": names.setdefault(token, bench.model.token_of(token)),
            "logprob": float(logprob),
            "origin": bench.origin,
        }
        for prompt in prompts
        for label, answer in rows.candidates(prompt).items()
        for at, (token, logprob) in enumerate(
            zip(
                rows.tokens[rows.row(prompt)].answers[answer],
                scored[rows.row(prompt)][answer].tolist(),
                strict=True,
            )
        )
    )


def _activations(
    bench: Bench, plan: Plan, prompts: Sequence[Prompt], layer: int, reading: _Reading
) -> Activations:
    values = reading.values(layer, bench.saes(layer), len(prompts), plan.spec.readout.reduce)
    at, feature = (index.cpu().numpy() for index in values.nonzero(as_tuple=True))
    size = len(at)
    return Activations(
        run_id=[bench.run_id] * size,
        prompt_id=np.array([prompt.id for prompt in prompts])[at],
        layer=np.full(size, layer),
        readout=[plan.readout] * size,
        feature=feature,
        value=values.cpu().numpy()[at, feature],
        origin=[bench.origin] * size,
    )
