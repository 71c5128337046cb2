"""Intervals of a mean over clustered pairs: CRV3 with t(G - 1), vectorised over features.

The cluster jackknife of MacKinnon, Nielsen and Webb (2023); the same as statsmodels'
`cov_type="cluster-crv3"` for a regression on a constant.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.stats.arguments import check_share, pair_matrix, unit_codes
from harness.stats.feature_blocks import dense_blocks
from harness.stats.scaling import SUMS, exponents, rescale
from harness.stats.unit_scores import sum_by_unit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanInterval:
    """Means over pairs, their standard errors and intervals, (n_features,) each, in the data's unit."""

    mean: Floats
    error: Floats
    low: Floats
    high: Floats
    n_units: int


def mean_interval(
    differences: ArrayLike, units: ArrayLike | None, *, level: float = 0.95
) -> MeanInterval:
    """The mean over pairs, with an interval that takes the units for independent, not the pairs.

    Arguments:
        differences: (n_pairs, n_features), dense or scipy sparse, or (n_pairs,) of one feature.
        units: the unit of each pair, (n_pairs,), at least two; each pair its own where None.
        level: the coverage of the interval, in (0, 1).

    Returns:
        `MeanInterval`: the CRV3 standard error, a jackknife over units, and mean +- its product with
        the quantile of t(n_units - 1); infinite where that lies beyond float64.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    The estimator is that of MacKinnon, Nielsen and Webb (2023).
    """
    matrix = pair_matrix("differences", differences)
    level = check_share("level", level)
    codes, n_units = unit_codes(units, matrix.shape[0])
    means, errors = [np.empty(0)], [np.empty(0)]
    for rows, _ in dense_blocks(matrix, name="differences"):
        power = SUMS - exponents(rows)
        scaled = rescale(rows, power)
        means.append(rescale(mean_of(scaled), -power))
        errors.append(rescale(_jackknife_error(scaled, codes, n_units), -power))
    mean, error = np.concatenate(means), np.concatenate(errors)
    with np.errstate(over="ignore"):
        reach = stats.t.ppf((1 + level) / 2, n_units - 1) * error
        return MeanInterval(mean, error, mean - reach, mean + reach, n_units)


def without_each(values: Floats, codes: NDArray[np.intp], *, level: float) -> tuple[Floats, Floats]:
    """The ends of `mean_interval` without each unit in turn, (n_units,) each, to some digits.

    Of `values` (n_pairs,) and their units as indices, of which there are at least three. In sums over units
    of one size: a unit of n of N pairs that sum up to s adds the square of (n mean - s) / (N - n), so that
    time grows with units times sizes, and not with the square of the units. NaN for a unit with more than a
    quarter of the pairs, where digits would be lost.
    """
    center = values.mean()
    sums, sizes = np.bincount(codes, values - center), np.bincount(codes)
    left = np.where(4 * sizes > len(codes), np.nan, len(codes) - sizes)
    mean = (sums.sum() - sums) / left

    # Of all units, and then without its own.
    total = -np.square((sizes * mean - sums) / (left - sizes))
    for size in np.unique(sizes):
        of = sums[sizes == size]
        squares = (
            len(of) * np.square(size * mean) - 2 * size * mean * of.sum() + np.square(of).sum()
        )
        total += squares / np.square(left - size)
    n_units = len(sums) - 1
    error = np.sqrt((n_units - 1) / n_units * total.clip(0))
    reach = stats.t.ppf((1 + level) / 2, n_units - 1) * error
    return center + mean - reach, center + mean + reach


def mean_of(rows: Floats) -> Floats:
    """The mean of each feature, (n_features,), of `rows` (n_features, n), summed with what rounding loses."""
    n = rows.shape[1]
    return sum_by_unit(rows, np.zeros(n, np.intp), 1)[:, 0] / n


def _jackknife_error(rows: Floats, codes: NDArray[np.intp], n_units: int) -> Floats:
    """The CRV3 standard error (n_features,) of the mean of `rows` (n_features, n_pairs).

    Without its n of the N pairs, the mean changes by n / (N - n) of what the unit's own is away from it.
    """
    rows = rows - rows[:, :1]  # so that a large mean takes no digits from a small spread
    sizes = np.bincount(codes)
    away = mean_of(rows)[:, None] - sum_by_unit(rows, codes, n_units) / sizes
    changes = sizes / (len(codes) - sizes) * away
    power = exponents(changes)
    squares = np.square(rescale(changes, -power)).sum(axis=1)
    return rescale(np.sqrt((n_units - 1) / n_units * squares), power)
