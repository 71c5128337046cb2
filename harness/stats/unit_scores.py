"""What is summed: each pair's score, its sum over a unit, and the unit sums of every feature.

Features come first in every result, (n_features, n_units), and blocks of features are scored one
after the other, so that memory beyond the input stays at the unit sums. Sums carry what rounding loses
(Neumaier 1974), so that large numbers of both signs leave what is between them.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from harness.stats.arguments import Floats, check_choice, unit_codes
from harness.stats.feature_blocks import dense_blocks, pair_of_matrices
from harness.stats.scaling import exponents, rescale
from harness.stats.sign_flips import MOST_GROUPED
from harness.stats.signed_rank import pratt_scores
from harness.stats.sparse_sums import SparseSums, compressed, inverse_of

Statistic = Literal["mean", "signed-rank", "mcnemar", "pratt+mcnemar"]
EXACT_IN_FLOAT32 = 2**24  # integers up to here are exact in float32, which halves the work,
MANY = 4096  # but is compiled apart, in some seconds, once: features from which that pays


@dataclass(frozen=True)
class ScoreSums:
    """The scores of each unit added up: one statistic's, or two where it is the larger of two.

    `sums` (n_scores, n_features, n_units) is float32 only where it holds integers that every flip's
    total keeps exact. `inverse` (n_scores, n_features) is 1 / sqrt(sum of squares over units), 0 where
    all are 0.
    """

    sums: NDArray[Any]
    inverse: Floats

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which features are not zero everywhere, (n_features,)."""
        return np.asarray((self.inverse > 0).any(axis=0))

    @property
    def u(self) -> Floats:
        """The observed statistic of each score, (n_scores, n_features)."""
        return self.sums.sum(axis=2, dtype=np.float64) * self.inverse

    @property
    def n_units(self) -> int:
        """How many units each feature's scores are added up within."""
        return int(self.sums.shape[2])

    def reversed(self) -> Self:
        """Those of the opposite differences."""
        return replace(self, sums=-self.sums)


def sum_scores(
    x: ArrayLike, y: ArrayLike | None, units: ArrayLike | None, statistic: Statistic | None
) -> ScoreSums | SparseSums:
    """The unit sums of the statistic's scores: two scores for `pratt+mcnemar`, one otherwise.

    `x` and `y` (n_pairs, n_features), dense or scipy sparse, are activations; without `y`, `x` holds
    differences. `units` (n_pairs,) names each pair's unit. Of sparse data with more units than a group of
    flips has, the sums are sparse as well. Raises `ValueError` naming the argument and the place that is
    wrong.
    """
    first, second = pair_of_matrices(x, y)
    if statistic is None:
        statistic = "signed-rank" if second is None else "pratt+mcnemar"
    check_choice("statistic", statistic, get_args(Statistic))
    if "mcnemar" in statistic and second is None:
        raise ValueError(f"y: the statistic '{statistic}' compares two activations; give y")
    n_pairs, n_features = first.shape
    codes, n_units = unit_codes(units, n_pairs)
    # Doubled ranks are integers, and add up to n (n + 1) over n pairs at most.
    largest = math.inf if statistic == "mean" else n_pairs * (n_pairs + 1)
    n_scores = 2 if statistic == "pratt+mcnemar" else 1
    blocks = (_block_sums(a, b, codes, n_units, statistic) for a, b in dense_blocks(first, second))
    if n_units > MOST_GROUPED and sparse.issparse(first):
        return compressed(blocks, n_scores, n_units, largest)
    exact = largest < EXACT_IN_FLOAT32 and n_features >= MANY
    sums = np.empty((n_scores, n_features, n_units), np.float32 if exact else np.float64)
    inverse = np.empty((n_scores, n_features))
    start = 0
    for block in blocks:
        at = slice(start, start := start + block.shape[1])
        sums[:, at], inverse[:, at] = block, inverse_of(block)
    return ScoreSums(sums, inverse)


def _block_sums(
    a: Floats, b: Floats | None, codes: NDArray[np.intp], n_units: int, statistic: Statistic
) -> Floats:
    """The unit sums of some features, (n_scores, n_features, n_units), of a and b (n_features, n_pairs)."""
    d = _differences(a, b)
    if statistic == "mean":
        return _near_one(sum_by_unit(_near_one(d), codes, n_units))[None]
    scores = []
    if statistic in ("signed-rank", "pratt+mcnemar"):
        scores.append(sum_by_unit(pratt_scores(d), codes, n_units))
    if b is not None and "mcnemar" in statistic:
        scores.append(sum_by_unit((a > 0).astype(np.float64) - (b > 0), codes, n_units))
    return np.stack(scores)


def sum_by_unit(rows: Floats, codes: NDArray[np.intp], n_units: int) -> Floats:
    """The sum of each unit's pairs, (n_features, n_units), of `rows` (n_features, n_pairs).

    `codes` (n_pairs,) are the units, from 0 to `n_units` - 1.
    """
    # Where each pair is a unit of its own there is nothing to add.
    if len(codes) == n_units and (codes == np.arange(len(codes))).all():
        return rows
    total = np.zeros((len(rows), n_units))
    _sum_pairs(np.ascontiguousarray(rows), codes, total)
    return total


def _differences(a: Floats, b: Floats | None) -> Floats:
    """a - b (n_features, n_pairs), or a itself where there is no b; half of it where it overflows."""
    if b is None:
        return a
    with np.errstate(over="ignore"):
        d = a - b
    beyond = ~np.isfinite(d).all(axis=1)
    d[beyond] = a[beyond] / 2 - b[beyond] / 2
    return d


def _near_one(values: Floats) -> Floats:
    """Features (n_features, n) as they are, or near 1 where their squares would leave the range.

    No statistic depends on a feature's scale.
    """
    power = exponents(values)
    extreme = np.abs(power) > 480
    return rescale(values, np.where(extreme, -power, 0)) if extreme.any() else values


@njit(nogil=True, cache=True)
def _sum_pairs(scores: Floats, codes: NDArray[np.intp], total: Floats) -> None:
    lost = np.zeros(total.shape[1])
    for f in range(scores.shape[0]):
        lost[:] = 0
        for pair in range(len(codes)):
            unit, x = codes[pair], scores[f, pair]
            if x == 0:  # which most are, and which changes no bit of a sum
                continue
            before = total[f, unit]
            after = before + x
            if abs(before) >= abs(x):
                lost[unit] += (before - after) + x
            else:
                lost[unit] += (x - after) + before
            total[f, unit] = after
        for unit in range(len(lost)):
            total[f, unit] += lost[unit]
