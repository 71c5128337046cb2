"""Which keys a query may attend to, where answers lie side by side, and that as additive masks."""

from dataclasses import dataclass
from typing import Any

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


def additive_masks(sight: Sight, config: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """The mask of each kind of attention of a model, (rows, 1, queries, keys): 0, or the lowest number."""
    # transformers takes masks as they are where they come as a dictionary by kind. It cannot make
    # these itself: answers side by side are branches of one prompt, and do not see each other.
    lowest = torch.finfo(dtype).min
    masks = {}
    for kind in set(config.layer_types):
        window = config.sliding_window if kind == "sliding_attention" else None
        allowed = sight.visible(window)[:, None]
        masks[kind] = torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, lowest)
    return masks
