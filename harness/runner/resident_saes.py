"""SAEs that stay on the device: reading one takes longer than all that is done with it."""

from collections.abc import Callable

from torch import Tensor

from harness.sae import Sae


class ResidentSaes:
    """The SAE of a layer, read once and kept as long as all that are kept take no more than `budget` bytes.

    The last one that was asked for is kept in any case. One more is in memory while it is read.
    """

    def __init__(self, read: Callable[[int], Sae], budget: int) -> None:
        self._read, self._budget = read, budget
        self._kept: dict[int, Sae] = {}  # the one that was asked for last is last

    def __call__(self, layer: int) -> Sae:
        """The SAE of a layer."""
        sae = self._kept.pop(layer, None) or self._read(layer)
        # Stages take the layers in turn, so that of those before the last one is needed again latest.
        while self._kept and sum(map(_size, (*self._kept.values(), sae))) > self._budget:
            self._kept.popitem()
        self._kept[layer] = sae
        return sae


def _size(sae: Sae) -> int:
    return sum(part.nbytes for part in vars(sae).values() if isinstance(part, Tensor))
