"""Look without touching: answers, features at the readout, generations, and the SAEs' health."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.batch import Batch, where
from harness.metrics import pool
from harness.plan import Plan
from harness.records import (
    Activations,
    Answers,
    Columns,
    FeatureActivity,
    Generations,
    Prompt,
    SaeHealth,
    TopkLogits,
)
from harness.sae.health import Health
from harness.sae.jumprelu import Sae, encode
from harness.work import Bench, Rows, Tap, batches, by_length

TOP_LOGITS = 50


def observe(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """Log-probabilities of both candidates' tokens, and the features at the readout."""
    rows = Rows(bench.model, prompts)
    scored: dict[int, list[Tensor]] = {}
    reading = _Reading(rows, plan, prompts)
    for chosen, batch in batches(bench.model, rows.tokens, bench.batch_size):
        answers = bench.model.forward(batch, reading.taps(chosen, batch))
        scored |= dict(zip(chosen, answers, strict=True))
    return [
        _answers(bench, prompts, rows, scored),
        *(_activations(bench, plan, prompts, layer, reading) for layer in plan.layers),
    ]


def generate(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """What the model says by itself, and the best logits at each step."""
    texts = list(dict.fromkeys(prompt.text for prompt in prompts))
    rows = [bench.model.tokens(text) for text in texts]
    steps: dict[str, Any] = {}
    for chosen in by_length(rows, bench.batch_size):
        made = bench.model.generate([rows[i] for i in chosen], plan.spec.new_tokens, TOP_LOGITS)
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


def survey(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """How well each SAE fits, and how often each feature fires, over all prompt positions but BOS."""
    texts = list(dict.fromkeys(prompt.text for prompt in prompts))
    rows = [bench.model.tokens(text) for text in texts]
    health = {layer: Health(bench.saes(layer)) for layer in plan.layers}
    for _, batch in batches(bench.model, rows, bench.batch_size):
        positions = where(batch, "prompt")

        def look(layer: int, positions: Tensor = positions) -> Tap:
            return lambda residual: health[layer].add(residual[positions])

        bench.model.forward(batch, {layer: look(layer) for layer in plan.layers})
    return [
        SaeHealth.of(
            {
                "run_id": bench.run_id,
                "layer": layer,
                "width": found.sae.features,
                "n_prompts": len(texts),
                "n_positions": found.positions,
                "l0": found.l0,
                "fvu": found.fvu,
                "fvu_median": found.fvu_median,
                "dead": found.dead,
                "origin": bench.origin,
            }
            for layer, found in health.items()
        ),
        *(_activity(bench, layer, found) for layer, found in health.items()),
    ]


class _Reading:
    """Residuals at the readout as batches pass by, and which prompt each of them belongs to.

    A row's prompt tokens serve every prompt with that text; an answer's tokens only the prompts
    whose own answer it is.
    """

    def __init__(self, rows: Rows, plan: Plan, prompts: Sequence[Prompt]) -> None:
        self._at = plan.spec.readout.at
        self._served: dict[int, list[tuple[int, int]]] = {}
        for i, prompt in enumerate(prompts):
            self._served.setdefault(rows.row(prompt), []).append((i, rows.own(prompt) + 1))
        self._found: dict[int, list[Tensor]] = {layer: [] for layer in plan.layers}
        self._positions: list[int] = []
        self._owners: list[int] = []
        self._seen = 0

    def taps(self, chosen: Sequence[int], batch: Batch) -> dict[int, Tap]:
        positions = where(batch, self._at)
        row, column = (index.tolist() for index in positions.nonzero(as_tuple=True))
        branches = batch.branch[positions].tolist()
        for at, (i, branch) in enumerate(zip(row, branches, strict=True), start=self._seen):
            for prompt, own in self._served[chosen[i]]:
                if branch in (0, own):
                    self._positions.append(at)
                    self._owners.append(prompt)
        self._seen += len(column)

        def look(layer: int) -> Tap:
            def tap(residual: Tensor) -> None:
                self._found[layer].append(residual[positions])

            return tap

        return {layer: look(layer) for layer in self._found}

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
        readout=[readout_name(plan)] * size,
        feature=feature,
        value=values.cpu().numpy()[at, feature],
        origin=[bench.origin] * size,
    )


def readout_name(plan: Plan) -> str:
    """The readout as the store names it: `last_prompt_token`, or like `answer:mean`."""
    readout = plan.spec.readout
    return readout.at if readout.at == "last_prompt_token" else f"{readout.at}:{readout.reduce}"


def _activity(bench: Bench, layer: int, health: Health) -> FeatureActivity:
    alive = health.active.nonzero()[:, 0]
    pick: Callable[[Tensor], Any] = lambda values: values[alive].cpu().numpy()  # noqa: E731
    return FeatureActivity(
        run_id=[bench.run_id] * len(alive),
        layer=np.full(len(alive), layer),
        feature=alive.cpu().numpy(),
        firing_rate=pick(health.firing_rate),
        mean_activation=pick(health.mean_activation),
        decoder_norm=pick(health.sae.w_dec.norm(dim=1)),
        origin=[bench.origin] * len(alive),
    )
