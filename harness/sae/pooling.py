"""One value a feature from several positions."""

from collections.abc import Sequence

import torch
from torch import Tensor


def pool(values: Tensor, uses: Sequence[Sequence[int]], how: str) -> Tensor:
    """One value a feature and row from several positions, (rows, n_features).

    `uses` names each row's positions among `values` (n_positions, n_features). `how` is `max`, `sum`, or
    the mean for anything else. A row without positions gives NaN: what was not read is not 0. Positions
    are added up in their order, whatever the device.
    """
    longest = max(map(len, uses), default=0)
    filled = torch.tensor([[*of, *[-1] * (longest - len(of))] for of in uses], dtype=torch.long)
    place = filled.to(values.device)
    counts = (place >= 0).sum(1, keepdim=True)
    start = -torch.inf if how == "max" else 0.0
    pooled = values.new_full((len(uses), values.shape[1]), start)
    for at in place.unbind(1):
        found = values[at.clamp(min=0)].where(at[:, None] >= 0, start)
        pooled = torch.maximum(pooled, found) if how == "max" else pooled + found
    if how not in ("max", "sum"):
        pooled = pooled / counts
    return pooled.where(counts > 0, torch.nan)
