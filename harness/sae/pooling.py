"""One value a feature from several positions."""

import torch
from torch import Tensor


def pool(values: Tensor, row: Tensor, rows: int, how: str) -> Tensor:
    """One value a feature and row from several positions, (rows, n_features).

    `values` (n_positions, n_features) belong to the rows named by `row` (n_positions,), from 0 to
    `rows` - 1. `how` is `max`, `sum`, or the mean for anything else. A row without positions gives NaN:
    what was not read is not 0.
    """
    size = (rows, values.shape[1])
    if how == "max":
        index = row[:, None].expand_as(values)
        start = values.new_full(size, torch.nan)
        return start.scatter_reduce(0, index, values, "amax", include_self=False)
    total = values.new_zeros(size).index_add(0, row, values)
    counts = torch.bincount(row, minlength=rows)[:, None]
    return torch.where(counts > 0, total if how == "sum" else total / counts, torch.nan)
