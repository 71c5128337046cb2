"""What the model says by itself, token by token, and the best logits at each step.

Rows of `generations`, one a prompt; and of `topk_logits`, one a prompt, step and rank.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from harness.models.forward_types import GeneratedToken
from harness.runner.context import RunContext
from harness.specs.chat import Chat
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.observations import Generations, TopkLogits

TOP_LOGITS = 50


def generate(context: RunContext, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """What the model says by itself, and the best logits at each step."""
    texts = list(dict.fromkeys(prompt.asked for prompt in prompts))
    rows = [context.model.tokens(text) for text in texts]

    def continue_batch(chosen: list[int]) -> list[list[GeneratedToken]]:
        chosen_rows = [rows[i] for i in chosen]
        return context.model.generate(chosen_rows, plan.spec.new_tokens, TOP_LOGITS)

    generated: dict[str | Chat, list[GeneratedToken]] = {}
    for chosen, continued in context.batches(rows, continue_batch):
        generated |= {texts[i]: row for i, row in zip(chosen, continued, strict=True)}
    generations = Generations.of(
        {
            "run_id": context.run_id,
            "prompt_id": prompt.id,
            "decoded_answer": context.model.text_of(
                [step.token for step in generated[prompt.asked]]
            ),
            "token_ids": [step.token for step in generated[prompt.asked]],
            "origin": context.origin,
        }
        for prompt in prompts
    )
    steps = [
        (prompt.id, number, step)
        for prompt in prompts
        for number, step in enumerate(generated[prompt.asked])
    ]
    return [generations, _logits(context, steps)] if steps else [generations]


def _logits(context: RunContext, steps: Sequence[tuple[str, int, GeneratedToken]]) -> TopkLogits:
    """The best logits of each step, which comes with its prompt and its number there."""
    name_of = cache(context.model.token_of)
    sizes = [len(step.top_ids) for _, _, step in steps]
    token_ids = torch.cat([step.top_ids for _, _, step in steps]).numpy()
    return TopkLogits.filled(
        run_id=context.run_id,
        prompt_id=np.repeat(np.array([prompt for prompt, _, _ in steps]), sizes),
        step=np.repeat([number for _, number, _ in steps], sizes),
        rank=np.concatenate([np.arange(size) for size in sizes]),
        token_id=token_ids,
        token=[name_of(int(token)) for token in token_ids],
        logit=torch.cat([step.top_logits for _, _, step in steps]).numpy(),
        logprob=torch.cat([step.top_logprobs for _, _, step in steps]).numpy(),
        origin=context.origin,
    )
