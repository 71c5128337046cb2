"""The unit sums of many units, of which each feature has few, and the random flips of them.

A flip's sum of a feature takes one addition for each unit in which the feature is active, so that time and
memory follow what is active: 10,000 units times 82,000 features would take 6.6 GB a score. Blocks of flips
are counted one after the other, each over all features from the weakest to the strongest under a running
maximum, as in `walsh_hadamard`. Compiled by numba.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
WIDTH = 256  # flips that a core counts at once: their signs of 10,000 units stay in its cache
EXACT_IN_INT32 = 2**31  # sums of integers below are exact in int32, which halves the work


@dataclass(frozen=True)
class SparseSums:
    """`ScoreSums` without zeros: feature f has the sums `values[:, start[f] : start[f + 1]]`.

    `values` (n_scores, n_sums) are int32 where every flip's total of them is, and `units` (n_sums,) are
    the units that they are of. `start` (n_features + 1,); `inverse` and `u` (n_scores, n_features) are as in
    `ScoreSums`.
    """

    values: NDArray[Any]
    units: NDArray[np.int32]
    start: Counts
    inverse: Floats
    u: Floats
    n_units: int

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which features are not zero everywhere, (n_features,)."""
        return np.asarray((self.inverse > 0).any(axis=0))

    def reversed(self) -> Self:
        """Those of the opposite differences."""
        return replace(self, values=-self.values, u=-self.u)


def inverse_of(sums: Floats) -> Floats:
    """1 / sqrt(sum of squares over units), 0 where all are 0: (n_scores, n_features) of (..., n_units)."""
    scale = np.sqrt(np.einsum("sfu,sfu->sf", sums, sums))
    return np.asarray(np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0))


def compressed(blocks: Iterable[Floats], n_scores: int, n_units: int, largest: float) -> SparseSums:
    """From blocks of features' unit sums, (n_scores, n_features of the block, n_units).

    `largest` is what no flip's total exceeds where all sums are integers, else infinite.
    """
    kind = np.int32 if largest < EXACT_IN_INT32 else np.float64
    values, units = [np.empty((n_scores, 0), kind)], [np.empty(0, np.int32)]
    counts, inverse = [np.zeros(1, np.int64)], [np.empty((n_scores, 0))]
    u = [np.empty((n_scores, 0))]
    for block in blocks:
        feature, unit = np.nonzero(block.any(axis=0))
        values.append(block[:, feature, unit].astype(kind))
        units.append(unit.astype(np.int32))
        counts.append(np.bincount(feature, minlength=block.shape[1]))
        inverse.append(inverse_of(block))
        u.append(block.sum(axis=2) * inverse[-1])
    return SparseSums(
        np.concatenate(values, axis=1),
        np.concatenate(units),
        np.cumsum(np.concatenate(counts)),
        np.concatenate(inverse, axis=1),
        np.concatenate(u, axis=1),
        n_units,
    )


@njit(nogil=True, cache=True)
def count_block(
    values: NDArray[Any],
    units: NDArray[np.int32],
    start: Counts,
    inverse: Floats,
    reach: Floats,
    order: Counts,
    signs: NDArray[np.int8],
    two_sided: bool,
    lowest: float,
) -> tuple[Counts, Counts, Floats]:
    """Own and joint counts (n_features,) over some flips, and the maximum of each of them, (n_flips,).

    `signs` (n_units, n_flips); the others are as in `SparseSums`, `reach` what a flip's u must reach to
    count, (n_features,). The maximum is over features so far in `order`, and begins at `lowest`.
    """
    n_scores, n_flips = len(values), signs.shape[1]
    own, joint = np.zeros(len(reach), np.int64), np.zeros(len(reach), np.int64)
    largest = np.full(n_flips, lowest)
    for f in order:
        total = np.zeros((n_scores, n_flips), values.dtype)
        for n in range(start[f], start[f + 1]):
            row = signs[units[n]]
            for c in range(n_scores):
                x = values[c, n]
                if x != 0:
                    of_score = total[c]
                    for k in range(n_flips):
                        of_score[k] += x * row[k]
        threshold = reach[f]
        for k in range(n_flips):
            u = -np.inf
            for c in range(n_scores):
                one = total[c, k] * inverse[c, f]
                u = max(u, abs(one) if two_sided else one)
            largest[k] = max(largest[k], u)
            own[f] += u >= threshold
            joint[f] += largest[k] >= threshold
    return own, joint, largest
