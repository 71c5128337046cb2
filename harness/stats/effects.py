"""Effect sizes of paired data, over unit means, vectorised over features.

d_z with its noncentral-t interval (Cumming and Finch 2001), Hedges' g_av (Lakens 2013), the
rank-biserial correlation (Kerby 2014) and the paired common-language effect.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from harness.stats.arguments import check_share, unit_codes
from harness.stats.feature_blocks import dense_blocks, pair_of_matrices
from harness.stats.intervals import mean_of
from harness.stats.scaling import SUMS, exponents, rescale
from harness.stats.unit_scores import sum_by_unit

Floats = NDArray[np.float64]
FAR = 30.0  # the t beyond which the interval is found another way
ROUNDING = 64 * 2.0**-52  # of the largest activation: a spread below it is none


@dataclass(frozen=True)
class Effects:
    """One value a feature, (n_features,); NaN where the flag says why there is none.

    `d_z` is the mean unit difference in its standard deviations, with its interval `d_z_low` to
    `d_z_high`; `g_av` is that mean in the average standard deviation of x and y, bias-corrected, and
    NaN without `y`. `rank_biserial` lies from -1 to 1, and `common_language` is the probability that
    a unit's x is the larger, ties half.

    `flag` is "" or: `too-few-units` (fewer than two), `all-zero` (never active in either variant, or
    never different), `constant` (the same difference in every unit, so no spread to scale by).
    """

    d_z: Floats
    d_z_low: Floats
    d_z_high: Floats
    g_av: Floats
    rank_biserial: Floats
    common_language: Floats
    flag: NDArray[np.str_]


def effects(
    x: ArrayLike, y: ArrayLike | None, units: ArrayLike | None, *, level: float = 0.95
) -> Effects:
    """Standardised sizes of the difference x - y of each feature, over the means of units.

    Arguments:
        x: activations (n_pairs, n_features), dense or scipy sparse; differences where `y` is None.
        y: the other activations, of the same shape, or None.
        units: the unit of each pair, (n_pairs,); each pair its own where None.
        level: the coverage of the interval of d_z, in (0, 1).

    Returns:
        `Effects`, each field (n_features,), without a unit. With fewer than two units all are NaN.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    d_z with its noncentral-t interval is of Cumming and Finch (2001), g_av of Lakens (2013) and the
    rank-biserial correlation of Kerby (2014).
    """
    level = check_share("level", level)
    first, second = pair_of_matrices(x, y)
    n_pairs, n_features = first.shape
    codes, n_units = unit_codes(units, n_pairs, at_least=1)
    if n_units < 2:
        none = np.full(n_features, np.nan)
        return Effects(none, none, none, none, none, none, np.full(len(none), "too-few-units"))
    parts = [_effects(a, b, codes, n_units, level) for a, b in dense_blocks(first, second)]
    return Effects(*(np.concatenate(some) for some in zip(*parts, strict=True)))


def _effects(
    rows: Floats, others: Floats | None, codes: NDArray[np.intp], n_units: int, level: float
) -> tuple[NDArray[Any], ...]:
    """The fields of `Effects` of some features, from x and y (n_features, n_pairs)."""
    paired = others is not None
    others = np.zeros_like(rows) if others is None else others
    # Everything is a ratio or a rank, and depends on no feature's scale.
    power = SUMS - exponents(rows, others)
    rows, others = rescale(rows, power), rescale(others, power)
    d = _unit_means(rows - others, codes, n_units)
    mean, spread = mean_of(d), _spread(rows - others, codes, n_units)
    flat = spread <= np.ldexp(ROUNDING, SUMS)
    zero = ~d.any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        d_z = np.where(flat, np.nan, mean / spread)
        spreads = [_spread(side, codes, n_units) for side in (rows, others)]
        average = np.hypot(*spreads) / np.sqrt(2)
        g_av = np.where(
            (average > 0) & ~flat & paired, hedges(n_units - 1) * mean / average, np.nan
        )
        ranks = stats.rankdata(np.where(d == 0, np.inf, np.abs(d)), axis=1)
        plus, minus = (ranks * (d > 0)).sum(axis=1), (ranks * (d < 0)).sum(axis=1)
        biserial = (plus - minus) / (plus + minus)
    low, high = d_z_interval(d_z, n_units, level=level)
    common = np.where(zero, np.nan, (d > 0).mean(axis=1) + (d == 0).mean(axis=1) / 2)
    flag = np.where(zero, "all-zero", np.where(flat, "constant", ""))
    return d_z, low, high, g_av, biserial, common, flag


def _unit_means(rows: Floats, codes: NDArray[np.intp], n_units: int) -> Floats:
    """The mean of each unit, (n_features, n_units), of `rows` (n_features, n_pairs)."""
    return sum_by_unit(rows, codes, n_units) / np.bincount(codes)


def _spread(rows: Floats, codes: NDArray[np.intp], n_units: int) -> Floats:
    """The standard deviation of unit means, (n_features,), of `rows` (n_features, n_pairs)."""
    # About the first row, so that a large mean takes no digits from a small spread.
    means = _unit_means(rows - rows[:, :1], codes, n_units)
    away = means - mean_of(means)[:, None]
    power = exponents(away)
    squares = np.square(rescale(away, -power)).sum(axis=1)
    return rescale(np.sqrt(squares / (n_units - 1)), power)


def hedges(nu: int) -> float:
    """Hedges' (1981) correction J(nu) = Gamma(nu/2) / (sqrt(nu/2) Gamma((nu-1)/2)), nu degrees of freedom."""
    return float(np.exp(special.gammaln(nu / 2) - special.gammaln((nu - 1) / 2)) / np.sqrt(nu / 2))


def d_z_interval(d_z: Floats, n: int, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """The noncentral-t interval of d_z (n_features,) from n units: its lower and its upper ends.

    They are the noncentralities that put t at its tails, divided by sqrt(n) (Cumming and Finch 2001).
    """
    t = np.asarray(d_z, dtype=float) * np.sqrt(n)
    tail = (1 - level) / 2
    far = np.abs(t) > FAR
    near = np.where(far, np.nan, t)
    low = special.nctdtrinc(n - 1, 1 - tail, near)
    high = special.nctdtrinc(n - 1, tail, near)
    ends = _far_ends(np.abs(t[far]), n - 1, tail)
    low[far], high[far] = np.where(t[far] > 0, ends, -ends[::-1])
    return low / np.sqrt(n), high / np.sqrt(n)


def _far_ends(t: Floats, nu: int, tail: float) -> Floats:
    """Both ends (2, n) for large t > 0, (n,), where scipy's inverse is slow and then wrong.

    P(T >= t) = E_Z[P(S <= (lambda + Z) / t)] with S = chi / sqrt(nu), by Gauss-Hermite over the normal
    Z, bisected in lambda.
    """
    z, weights = hermegauss(40)
    quantiles = stats.chi.ppf([tail, 1 - tail], nu)[:, None] / np.sqrt(nu)
    low, high = t * quantiles * 0.9 - 10, t * quantiles * 1.1 + 10
    for _ in range(100):
        middle = (low + high) / 2
        s = (middle[..., None] + z) / t[:, None] * np.sqrt(nu)
        share = (stats.chi.cdf(s, nu) * weights).sum(axis=-1) / weights.sum()
        below = share < np.array([[tail], [1 - tail]])
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
