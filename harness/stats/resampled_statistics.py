"""What is summed over units, summed again over resamples of them: each unit so many times.

A resample is a row of weights, how often it has each unit; a unit that is in it twice is two units in it.
Sums are added one by one in the order of the units, so that features of the same values have the same
sums, whatever machine adds them.
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from harness.stats.arguments import Floats, check_choice, pair_matrix, unit_codes
from harness.stats.feature_blocks import dense_blocks, pair_of_matrices
from harness.stats.scaling import exponents, rescale
from harness.stats.unit_scores import Statistic, sum_by_unit

Weights = NDArray[np.int64]  # (n_resamples, n_units)


def sums_of_units(
    differences: ArrayLike, codes: NDArray[np.intp], n_units: int
) -> sparse.csr_array:
    """The sum of each unit's pairs, sparse (n_features, n_units), of `differences` (n_pairs, n_features).

    These are dense or scipy sparse; `codes` (n_pairs,) are the units, from 0 to `n_units` - 1.
    """
    blocks = dense_blocks(pair_matrix("differences", differences), name="differences")
    return sparse.vstack(
        [sparse.csr_array(sum_by_unit(rows, codes, n_units)) for rows, _ in blocks], format="csr"
    )


def resampled_totals(sums: Floats | sparse.csr_array, weights: Weights) -> Floats:
    """The total of each resample, (n_resamples, n_features), of unit sums (n_features, n_units)."""
    return _totals(*_rows(sums), _times(weights))[0].T


def resampled_statistic(
    x: ArrayLike, y: ArrayLike, units: ArrayLike, weights: Weights, *, statistic: Statistic
) -> Floats:
    """The statistic of `paired_statistic` on each resample, (n_resamples, n_features).

    `x` and `y` (n_pairs, n_features), finite, and `units` (n_pairs,) are as there. `weights` (n_resamples,
    n_units) has the units in the order of their sorted names. Signed ranks are those of a resample's own
    pairs, of which copies are tied. Raises `ValueError` where shapes do not fit or the statistic is unknown.
    """
    check_choice("statistic", statistic, ("mean", "signed-rank", "mcnemar", "pratt+mcnemar"))
    first, second = pair_of_matrices(x, y)
    codes, n_units = unit_codes(units, first.shape[0], at_least=1)
    if weights.shape[1:] != (n_units,):
        raise ValueError(f"weights: shape {weights.shape} for {n_units} units")
    found = np.empty((len(weights), first.shape[1]))
    times, start = _times(weights), 0
    for a, b in dense_blocks(first, second):
        assert b is not None
        at = slice(start, start := start + len(a))
        found[:, at] = _statistic(a, b, codes, times, statistic).T
    return found


def _times(weights: Weights) -> Floats:
    return np.ascontiguousarray(weights.T, np.float64)


def _rows(
    sums: Floats | sparse.csr_array,
) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Unit sums (n_features, n_units) without zeros: where each feature begins, its units, and the sums."""
    rows = sparse.csr_array(sums)
    rows.sort_indices()
    return rows.indptr, rows.indices, rows.data


def _statistic(
    a: Floats, b: Floats, codes: NDArray[np.intp], times: Floats, statistic: Statistic
) -> Floats:
    """The same of a block, (n_features, n_resamples) of `a` and `b` (n_features, n_pairs)."""
    scores: list[Floats] = []
    if statistic == "mean":
        scores.append(_of_sums(sum_by_unit(a - b, codes, len(times)), times))
    if "rank" in statistic or "pratt" in statistic:
        scores.append(_ratio(*_rank_totals(a - b, codes, times)))
    if "mcnemar" in statistic:
        fires = (a > 0).astype(np.float64) - (b > 0)
        scores.append(_of_sums(sum_by_unit(fires, codes, len(times)), times))
    return scores[0] if len(scores) == 1 else _larger(*scores)


def _of_sums(sums: Floats, times: Floats) -> Floats:
    # No statistic depends on a feature's scale, and squares must not leave the range.
    return _ratio(*_totals(*_rows(rescale(sums, -exponents(sums))), times))


def _ratio(total: Floats, square: Floats) -> Floats:
    return np.where(square > 0, total / np.sqrt(np.where(square > 0, square, 1.0)), 0.0)


def _larger(one: Floats, other: Floats) -> Floats:
    """The score that is larger in absolute value, the first of equal ones."""
    return np.where(np.abs(other) > np.abs(one), other, one)


# Resamples come last in what follows: the innermost loops are over them, and a processor takes several at
# once without another order of any sum.


@njit(nogil=True, cache=True)
def _totals(
    start: NDArray[np.int32], units: NDArray[np.int32], sums: Floats, times: Floats
) -> tuple[Floats, Floats]:
    """Totals of the unit sums, as `_rows` has them, and of their squares, (n_features, n_resamples).

    `times` (n_units, n_resamples) is how often each unit is in each resample.
    """
    total = np.zeros((len(start) - 1, times.shape[1]))
    square = np.zeros_like(total)
    for f in range(len(start) - 1):
        for n in range(start[f], start[f + 1]):
            u, value = units[n], sums[n]
            for r in range(times.shape[1]):
                total[f, r] += times[u, r] * value
                square[f, r] += times[u, r] * (value * value)
    return total, square


@njit(nogil=True, cache=True)
def _rank_totals(d: Floats, codes: NDArray[np.intp], times: Floats) -> tuple[Floats, Floats]:
    """The same of doubled signed ranks of differences (n_features, n_pairs), zeros ranked and dropped."""
    resamples = times.shape[1]
    total = np.zeros((len(d), resamples))
    square = np.zeros_like(total)
    pairs = np.zeros(resamples)
    for pair in range(len(codes)):
        pairs += times[codes[pair]]
    for f in range(len(d)):
        active = np.flatnonzero(d[f])
        order = active[np.argsort(np.abs(d[f][active]))]
        size, sign, unit = np.abs(d[f][order]), np.sign(d[f][order]), codes[order]
        # Of the units in which the feature differs alone: the others' sums are 0.
        there = np.unique(unit)
        row = np.searchsorted(there, unit)
        below, sums = pairs.copy(), np.zeros((len(there), resamples))
        for n in range(len(order)):
            below -= times[unit[n]]  # the zeros hold the first ranks
        start = 0
        while start < len(order):
            tied, stop = times[unit[start]].copy(), start + 1
            while stop < len(order) and size[stop] == size[start]:
                tied += times[unit[stop]]
                stop += 1
            for n in range(start, stop):
                u, s = row[n], sign[n]
                for r in range(resamples):
                    sums[u, r] += (2 * below[r] + tied[r] + 1) * s
            below += tied
            start = stop
        for n in range(len(there)):
            u = there[n]
            for r in range(resamples):
                total[f, r] += times[u, r] * sums[n, r]
                square[f, r] += times[u, r] * sums[n, r] * sums[n, r]
    return total, square
