"""What is summed: each pair's score, its sum over a unit, and the unit sums of every feature.

Features come first in every result, (n_features, n_units), and blocks of features are scored one
after the other, so that memory beyond the input stays at the unit sums. Sums carry what rounding loses
(Neumaier 1974), so that large numbers of both signs leave what is between them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import Floats, check_choice, dense_block, pair_matrix, unit_codes
from harness.stats.scaling import exponents, rescale
from harness.stats.signed_rank import pratt_scores

Statistic = Literal["mean", "signed-rank", "mcnemar", "pratt+mcnemar"]
BLOCK = 1024  # features scored at once
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


def sum_scores(
    x: ArrayLike, y: ArrayLike | None, units: ArrayLike | None, statistic: Statistic | None
) -> ScoreSums:
    """The unit sums of the statistic's scores: two scores for `pratt+mcnemar`, one otherwise.

    `x` and `y` (n_pairs, n_features), dense or scipy sparse, are activations; without `y`, `x` holds
    differences. `units` (n_pairs,) names each pair's unit. Raises `ValueError` naming the argument
    and the place that is wrong.
    """
    first = pair_matrix("x", x)
    second = None if y is None else pair_matrix("y", y)
    if second is not None and second.shape != first.shape:
        raise ValueError(f"y: has shape {second.shape}, x has {first.shape}")
    if statistic is None:
        statistic = "signed-rank" if second is None else "pratt+mcnemar"
    chosen = statistic
    check_choice("statistic", chosen, get_args(Statistic))
    if "mcnemar" in chosen and second is None:
        raise ValueError(f"y: the statistic '{chosen}' compares two activations; give y")
    n_pairs, n_features = first.shape
    codes, n_units = unit_codes(units, n_pairs)
    # Doubled ranks are integers, and add up to n (n + 1) over n pairs at most.
    exact = chosen != "mean" and n_pairs * (n_pairs + 1) < EXACT_IN_FLOAT32
    kind = np.float32 if exact and n_features >= MANY else np.float64
    n_scores = 2 if chosen == "pratt+mcnemar" else 1
    sums = np.zeros((n_scores, n_features, n_units), kind)
    inverse = np.empty((n_scores, n_features))
    for at, a, b in _blocks(first, second):
        d = _differences(a, b)
        if chosen == "mean":
            _add_up(_near_one(d), codes, sums[0, at])
            sums[0, at] = _near_one(sums[0, at])
        if chosen in ("signed-rank", "pratt+mcnemar"):
            _add_up(pratt_scores(d), codes, sums[0, at])
        if b is not None and "mcnemar" in chosen:
            _add_up((a > 0).astype(np.float64) - (b > 0), codes, sums[-1, at])
        for k in range(n_scores):
            wide = sums[k, at].astype(np.float64)
            scale = np.sqrt(np.einsum("fu,fu->f", wide, wide))
            inverse[k, at] = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0)
    return ScoreSums(sums, inverse)


def sum_by_unit(rows: Floats, codes: NDArray[np.intp], n_units: int) -> Floats:
    """The sum of each unit's pairs, (n_features, n_units), of `rows` (n_features, n_pairs).

    `codes` (n_pairs,) are the units, from 0 to `n_units` - 1.
    """
    total = np.empty((len(rows), n_units))
    _add_up(rows, codes, total)
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


def _add_up(scores: Floats, codes: NDArray[np.intp], into: NDArray[Any]) -> None:
    """Adds scores (n_features, n_pairs) up within units, in float64, `into` (n_features, n_units)."""
    # Where each pair is a unit of its own there is nothing to add.
    if len(codes) == into.shape[1] and (codes == np.arange(len(codes))).all():
        into[:] = scores
        return
    total = np.zeros(into.shape)
    _sum_pairs(np.ascontiguousarray(scores), codes, total)
    into[:] = total


@njit(nogil=True, cache=True)
def _sum_pairs(scores: Floats, codes: NDArray[np.intp], total: Floats) -> None:
    lost = np.zeros(total.shape[1])
    for f in range(scores.shape[0]):
        lost[:] = 0
        for pair in range(len(codes)):
            unit, x = codes[pair], scores[f, pair]
            before = total[f, unit]
            after = before + x
            if abs(before) >= abs(x):
                lost[unit] += (before - after) + x
            else:
                lost[unit] += (x - after) + before
            total[f, unit] = after
        for unit in range(len(lost)):
            total[f, unit] += lost[unit]


def _blocks(x: Any, y: Any) -> Iterator[tuple[slice, Floats, Floats | None]]:
    """Blocks of features: which, and x and y (n_features of the block, n_pairs) in dense float64."""
    for start in range(0, x.shape[1], BLOCK):
        at = slice(start, min(x.shape[1], start + BLOCK))
        yield at, dense_block("x", x, at), None if y is None else dense_block("y", y, at)
