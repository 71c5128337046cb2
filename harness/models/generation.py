"""What a model says by itself: the best token at each step, and the logits of the next best."""

from typing import Any

import torch

from harness.models.forward_types import GeneratedToken
from harness.models.padded_batch import Batch


@torch.no_grad()
def generate_greedily(
    network: Any, batch: Batch, *, new_tokens: int, top: int, pad_id: int
) -> list[list[GeneratedToken]]:
    """By row the greedy continuation of its prompt, up to its end-of-sequence token, which is included.

    The batch is padded on the left, as new tokens follow the last column. Of each step the `top` best
    logits are kept.
    """
    ends = network.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    output = network.generate(
        input_ids=batch.ids,
        attention_mask=(batch.branch >= 0).long(),
        max_new_tokens=new_tokens,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=pad_id,
    )
    tokens = output.sequences[:, batch.columns :].cpu()
    rows: list[list[GeneratedToken]] = [[] for _ in range(len(batch))]
    for step, logits in enumerate(output.logits):
        values, ids = logits.float().topk(min(top, logits.shape[-1]))
        logprobs = (values - logits.float().logsumexp(-1, keepdim=True)).cpu()
        values, ids = values.cpu(), ids.cpu()
        for i, row in enumerate(rows):
            # transformers goes on until every row has ended, and fills up the others.
            if not row or row[-1].token not in ends:
                token = int(tokens[i, step])
                row.append(GeneratedToken(token, ids[i], values[i], logprobs[i]))
    return rows
