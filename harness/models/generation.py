"""What a model says by itself: the best token at each step, and the logits of the next best."""

from typing import Any

import torch

from harness.models.forward_types import GeneratedToken
from harness.models.packed_columns import pack_columns
from harness.models.padded_batch import Batch
from harness.models.transfer import send


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
    ids, mask = send(network.device, batch.ids, (batch.branch >= 0).long())
    with pack_columns(network):
        output = network.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            do_sample=False,
            disable_compile=True,  # a static cache that a configuration asks for would compile it
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=pad_id,
        )
    tokens = output.sequences[:, batch.columns :].tolist()
    # Of all steps together, (steps, rows, top): each copy from a device makes the host wait.
    best = [logits.float().topk(min(top, logits.shape[-1])) for logits in output.logits]
    sums = [logits.float().logsumexp(-1, keepdim=True) for logits in output.logits]
    values = torch.stack([of_step.values for of_step in best])
    logprobs = (values - torch.stack(sums)).cpu()
    values, top_ids = values.cpu(), torch.stack([of_step.indices for of_step in best]).cpu()
    rows: list[list[GeneratedToken]] = [[] for _ in range(len(batch))]
    for step in range(len(best)):
        for i, row in enumerate(rows):
            # transformers goes on until every row has ended, and fills up the others.
            if not row or row[-1].token not in ends:
                best_there = top_ids[step, i], values[step, i], logprobs[step, i]
                row.append(GeneratedToken(tokens[i][step], *best_there))
    return rows
