"""From logits to answers' log-probabilities, and from positions to one value a feature."""

import torch
from torch import Tensor

from harness.batch import Batch


def answer_logprobs(logits: Tensor, first: int, batch: Batch) -> list[Tensor]:
    """Each row's log-probability of each of its answer tokens, in float32.

    `logits` (rows, columns, vocabulary) begin at column `first` of the batch; the logits of a column
    predict the token of the next one. log-softmax is taken in float32.
    """
    found = []
    for row in range(len(batch)):
        start, prompt, length = (
            int(x[row]) for x in (batch.start, batch.prompt, batch.length)
        )
        columns = slice(start + prompt - 1 - first, start + length - 1 - first)
        logprobs = logits[row, columns].float().log_softmax(-1)
        answer = batch.ids[row, start + prompt : start + length]
        found.append(logprobs.gather(-1, answer[:, None]).squeeze(-1))
    return found


def pool(values: Tensor, row: Tensor, rows: int, how: str) -> Tensor:
    """One value a feature and row from several positions, (rows, features).

    `values` (positions, features) belong to the rows named by `row` (positions,). A row without
    positions gives NaN.
    """
    size = (rows, values.shape[1])
    if how == "max":
        index = row[:, None].expand_as(values)
        start = values.new_full(size, torch.nan)
        return start.scatter_reduce(0, index, values, "amax", include_self=False)
    total = values.new_zeros(size).index_add(0, row, values)
    counts = torch.bincount(row, minlength=rows)[:, None]
    return torch.where(counts > 0, total if how == "sum" else total / counts, torch.nan)
