"""What the model says by itself, token by token, and the best logits at each step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from harness.models.adaptive_batching import each
from harness.runner.context import Bench
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.base import Columns
from harness.store.tables.observations import Generations, TopkLogits

TOP_LOGITS = 50


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
