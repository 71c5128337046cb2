"""Which keys a query may attend to, where answers lie side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor


def sees(
    branch: Tensor, place: Tensor, key_branch: Tensor, key_place: Tensor, window: int | None
) -> Tensor:
    """Which keys a query may attend to, (rows, queries, keys) bool.

    `branch` and `place` are (rows, queries), those of the keys (rows, keys), as in `Batch`. A key
    must be real, not after the query, on the prompt or the query's own answer, and less than `window`
    places before it.
    """
    query, key = branch[:, :, None], key_branch[:, None, :]
    distance = place[:, :, None] - key_place[:, None, :]
    visible = (key >= 0) & (query >= 0) & (distance >= 0) & ((key == 0) | (key == query))
    return visible if window is None else visible & (distance < window)


@dataclass(frozen=True)
class Sight:
    """What decides which keys queries may attend to: int64, as in `Batch`.

    `branch` and `place` are (rows, queries), those of the keys (rows, keys); the last keys are the
    queries themselves.
    """

    branch: Tensor
    place: Tensor
    key_branch: Tensor
    key_place: Tensor

    def visible(self, window: int | None = None) -> Tensor:
        """(rows, queries, keys) bool. Padding sees itself, so that no softmax is empty."""
        visible = sees(self.branch, self.place, self.key_branch, self.key_place, window)
        queries = self.branch.shape[1]
        own = torch.eye(queries, dtype=torch.bool, device=visible.device)
        visible[:, :, -queries:] |= own
        return visible
