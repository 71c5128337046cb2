"""Look without touching: answers, features at the readout, and generations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.batch import Batch, where
from harness.faults import CannotRun, Fault
from harness.metrics import pool
from harness.plan import Plan
from harness.records import (
    Activations,
    Answers,
    Columns,
    Generations,
    Prompt,
    TopkLogits,
)
from harness.sae.jumprelu import Sae, encode
from harness.work import Bench, Rows, Tap, check_finite, each

TOP_LOGITS = 50


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
        _check_scores(answers, bench.model.dtype)
        return Seen(batch, positions, answers, seen)

    for chosen, seen in each(bench.limit, rows.tokens, look):
        scored |= dict(zip(chosen, seen.answers, strict=True))
        reading.add(chosen, seen)
    return [
        _answers(bench, prompts, rows, scored),
        *(_activations(bench, plan, prompts, layer, reading) for layer in plan.layers),
    ]


def generate(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """What the model says by itself, and the best logits at each step."""
    texts = list(dict.fromkeys(prompt.text for prompt in prompts))
    rows = [bench.model.tokens(text) for text in texts]
    steps: dict[str, Any] = {}

    def go_on(chosen: list[int]) -> Sequence[Any]:
        return bench.model.generate([rows[i] for i in chosen], plan.spec.new_tokens, TOP_LOGITS)

    for chosen, made in each(bench.limit, rows, go_on):
        steps |= {texts[i]: row for i, row in zip(chosen, made, strict=True)}
    names: dict[int, str] = {}

    def name(token: int) -> str:
        return names.setdefault(token, bench.model.token_of(token))

    said = Generations.of(
        {
            "run_id": bench.run_id,
            "prompt_id": prompt.id,
            "decoded_answer": bench.model.text_of([step.token for step in steps[prompt.text]]),
            "token_ids": [step.token for step in steps[prompt.text]],
            "origin": bench.origin,
        }
        for prompt in prompts
    )
    found = [
        (prompt.id, at, step) for prompt in prompts for at, step in enumerate(steps[prompt.text])
    ]
    if not found:
        return [said]
    sizes = [len(step.top_ids) for _, _, step in found]
    token_ids = torch.cat([step.top_ids for _, _, step in found]).numpy()
    return [
        said,
        TopkLogits(
            run_id=[bench.run_id] * len(token_ids),
            prompt_id=np.repeat(np.array([prompt for prompt, _, _ in found]), sizes),
            step=np.repeat([at for _, at, _ in found], sizes),
            rank=np.concatenate([np.arange(size) for size in sizes]),
            token_id=token_ids,
            token=[name(int(token)) for token in token_ids],
            logit=torch.cat([step.top_logits for _, _, step in found]).numpy(),
            logprob=torch.cat([step.top_logprobs for _, _, step in found]).numpy(),
            origin=[bench.origin] * len(token_ids),
        ),
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


def _check_scores(answers: list[list[Tensor]], dtype: str) -> None:
    if not all(bool(torch.isfinite(scores).all()) for row in answers for scores in row):
        raise CannotRun(
            Fault("the logits", f"they hold NaN or infinity in {dtype}", "run it in float32")
        )


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
        readout=[readout_name(plan)] * size,
        feature=feature,
        value=values.cpu().numpy()[at, feature],
        origin=[bench.origin] * size,
    )


def readout_name(plan: Plan) -> str:
    """The readout as the store names it: `last_prompt_token`, or like `answer:mean`."""
    readout = plan.spec.readout
    return readout.at if readout.at == "last_prompt_token" else f"{readout.at}:{readout.reduce}"
