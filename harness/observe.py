"""Look without touching: answers, features at the readout, generations, and the SAEs' health."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.batch import where
from harness.metrics import pool
from harness.plan import Plan
from harness.records import (
    LABELS,
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
from harness.sae.jumprelu import encode
from harness.spec import Where
from harness.work import Bench, Rows, Tap, batches

TOP_LOGITS = 50


def observe(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """Log-probabilities of both candidates' tokens, and the features at the readout."""
    rows = Rows(bench.model, prompts)
    logprobs, residuals = _forward(bench, rows, plan.layers, plan.spec.readout.at)
    return [
        _answers(bench, prompts, rows, logprobs),
        *(
            _activations(bench, plan, prompts, rows, layer, *residuals[layer])
            for layer in plan.layers
        ),
    ]


def generate(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """What the model says by itself, and the best logits at each step."""
    texts = list(dict.fromkeys(prompt.text for prompt in prompts))
    rows = [bench.model.tokens(text) for text in texts]
    steps: dict[str, Any] = {}
    for chosen, batch in batches(bench.model, rows, bench.batch_size):
        made = bench.model.generate(batch, plan.spec.new_tokens, TOP_LOGITS)
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


def _forward(
    bench: Bench, rows: Rows, layers: Iterable[int], at: Where
) -> tuple[dict[int, Tensor], dict[int, tuple[Tensor, Tensor]]]:
    """Each row's answer log-probabilities, and each layer's residuals at the readout with their rows."""
    logprobs: dict[int, Tensor] = {}
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    owners: list[Tensor] = []
    for chosen, batch in batches(bench.model, rows.tokens, bench.batch_size):
        positions = where(batch, at)
        owners.append(torch.tensor(chosen)[positions.nonzero()[:, 0].cpu()])

        def look(layer: int, positions: Tensor = positions) -> Tap:
            def tap(residual: Tensor) -> None:
                found[layer].append(residual[positions])

            return tap

        answers = bench.model.forward(batch, {layer: look(layer) for layer in found})
        logprobs |= {i: answer.cpu() for i, answer in zip(chosen, answers, strict=True)}
    row = torch.cat(owners)
    return logprobs, {layer: (torch.cat(parts), row) for layer, parts in found.items()}


def _answers(
    bench: Bench, prompts: Sequence[Prompt], rows: Rows, logprobs: dict[int, Tensor]
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
        for label in LABELS
        for row in [rows.candidate(prompt, label)]
        for at, (token, logprob) in enumerate(
            zip(rows.tokens[row].answer, logprobs[row], strict=True)
        )
    )


def _activations(
    bench: Bench,
    plan: Plan,
    prompts: Sequence[Prompt],
    rows: Rows,
    layer: int,
    residual: Tensor,
    row: Tensor,
) -> Activations:
    values = encode(bench.saes(layer), residual)
    pooled = pool(values, row.to(values.device), len(rows.tokens), plan.spec.readout.reduce)
    own = pooled[torch.tensor([rows.own(prompt) for prompt in prompts], device=values.device)]
    at, feature = (index.cpu().numpy() for index in own.nonzero(as_tuple=True))
    size = len(at)
    return Activations(
        run_id=[bench.run_id] * size,
        prompt_id=np.array([prompt.id for prompt in prompts])[at],
        layer=np.full(size, layer),
        readout=[readout_name(plan)] * size,
        feature=feature,
        value=own.cpu().numpy()[at, feature],
        origin=[bench.origin] * size,
    )


def readout_name(plan: Plan) -> str:
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
