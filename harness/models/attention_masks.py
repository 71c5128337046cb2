"""Which keys a query may attend to, where answers lie side by side, and that as additive masks."""

from collections.abc import Callable
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


def additive_masks(
    visible: Callable[[int | None], Tensor], config: Any, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The mask of each kind of attention of a model, (rows, 1, queries, keys): 0, or the lowest number.

    `visible` gives (rows, queries, keys) bool for a sliding window, or for none.
    """
    # transformers takes masks as they are where they come as a dictionary by kind. It cannot make
    # these itself: answers side by side are branches of one prompt, and do not see each other.
    lowest = torch.finfo(dtype).min
    masks = {}
    for kind in set(config.layer_types):
        window = config.sliding_window if kind == "sliding_attention" else None
        allowed = visible(window)[:, None]
        masks[kind] = torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, lowest)
    return masks
