"""What is summed: each pair's score, its sum over a unit, and the unit sums of every feature.

Features come first in every result, (n_features, n_units), and blocks of features are scored one
after the other, so that memory beyond the input stays at the unit sums.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from harness.stats.arguments import Floats, dense_block, pair_matrix, unit_codes
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
    if chosen not in get_args(Statistic):
        raise ValueError(
            f"statistic: unknown '{chosen}'; use mean, signed-rank, mcnemar or pratt+mcnemar"
        )
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
            _add_up(d, codes, sums[0, at])
        if chosen in ("signed-rank", "pratt+mcnemar"):
            _add_up(pratt_scores(d), codes, sums[0, at])
        if b is not None and "mcnemar" in chosen:
            _add_up((a > 0).astype(np.float64) - (b > 0), codes, sums[-1, at])
        for k in range(n_scores):
            wide = sums[k, at].astype(np.float64)
            scale = np.sqrt(np.einsum("fu,fu->f", wide, wide))
            inverse[k, at] = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0)
    return ScoreSums(sums, inverse)


def sum_by_unit(differences: ArrayLike, units: ArrayLike | None = None) -> Floats:
    """The sum of each unit's rows, (n_units, n_features), in the order of sorted unit names.

    `differences` (n_pairs, n_features), dense or scipy sparse, and `units` (n_pairs,), each pair its
    own where None. Raises `ValueError` as `unit_codes` and `pair_matrix` do.
    """
    rows = pair_matrix("differences", differences)
    codes, n_units = unit_codes(units, rows.shape[0])
    member = sparse.csr_array(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), (n_units, len(codes))
    )
    dense: Any = member @ rows.astype(np.float64)
    return dense.toarray() if sparse.issparse(dense) else dense


def _differences(a: Floats, b: Floats | None) -> Floats:
    """a - b (n_features, n_pairs), or a itself where there is no b.

    By a power of two nearer to 1 where its squares would leave the range of float64: no statistic
    depends on a feature's scale, and a power of two changes no other bit.
    """
    size = np.abs(a).max(axis=1, initial=0)
    if b is not None:
        size = np.maximum(size, np.abs(b).max(axis=1, initial=0))
    extreme = (size > 1e150) | ((size < 1e-150) & (size > 0))
    if not extreme.any():
        return a if b is None else a - b
    power = np.where(extreme, -np.frexp(size)[1], 0)[:, None]
    return np.ldexp(a, power) - (0 if b is None else np.ldexp(b, power))


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
    for f in range(scores.shape[0]):
        for pair in range(len(codes)):
            total[f, codes[pair]] += scores[f, pair]


def _blocks(x: Any, y: Any) -> Iterator[tuple[slice, Floats, Floats | None]]:
    """Blocks of features: which, and x and y (n_features of the block, n_pairs) in dense float64."""
    for start in range(0, x.shape[1], BLOCK):
        at = slice(start, min(x.shape[1], start + BLOCK))
        yield at, dense_block("x", x, at), None if y is None else dense_block("y", y, at)
