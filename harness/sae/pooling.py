"""One value a feature from several positions."""

import torch
from torch import Tensor


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
