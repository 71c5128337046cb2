"""Is every feature's effect small? Simultaneous equivalence of d_z over all features, by max-T.

Each feature's interval is that of d_z, by the noncentral t; how far it must reach for all of them to hold
at once is taken from the largest |t| of all features under sign flips of what their units differ from their
means. The level is 1 - alpha, two-sided, and not the 1 - 2 alpha of a single pair of one-sided tests: where
the errors of two features are opposite, one of them is carried inside the margin by either tail.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from harness.stats.arguments import check_positive, dense_features, unit_codes
from harness.stats.effects import effects
from harness.stats.flip_counts import largest_of_flips
from harness.stats.sign_flips import sign_flips
from harness.stats.unit_scores import sum_by_unit, sum_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SimultaneousEquivalence:
    """One value a feature, (n_features,): d_z, and two p that are adjusted over all features.

    `p_inside` is at most alpha where the simultaneous interval of 1 - alpha lies inside the margin,
    `p_outside` where it lies wholly outside. A feature without any difference (`flag` is `all-zero`) counts
    as inside. Where all units show the same difference (`constant`) there is no d_z, and both p are 1.
    """

    d_z: Floats
    p_inside: Floats
    p_outside: Floats
    n_units: int
    flag: NDArray[np.str_]


def simultaneous_equivalence(
    x: ArrayLike,
    y: ArrayLike | None = None,
    units: ArrayLike | None = None,
    *,
    margin: float,
) -> SimultaneousEquivalence:
    """Which features' effects lie inside (-margin, margin), and which outside, over all at once.

    Arguments:
        x: activations (n_pairs, n_features), dense or scipy sparse; differences where `y` is None.
        y: the other activations, of the same shape, or None.
        units: the unit of each pair, (n_pairs,), at least two; each pair its own where None.
        margin: in d_z, above 0; to be fixed before the data are seen.

    Returns:
        `SimultaneousEquivalence`.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    Approximate: unit means are taken for normal, and the features' dependence from the flips.
    """
    margin = check_positive("margin", margin)
    rows = dense_features("x", x)
    n = unit_codes(units, rows.shape[1])[1]
    size = effects(x, y, units)
    spread = size.flag == ""
    if y is not None:
        rows = rows - dense_features("y", y)
    largest = _largest_t(rows[spread], units, n)
    t, shift = np.abs(size.d_z) * np.sqrt(n), margin * np.sqrt(n)
    inside, outside = special.nctdtr(n - 1, shift, t), stats.nct.sf(t, n - 1, shift)
    zero = size.flag == "all-zero"
    return SimultaneousEquivalence(
        d_z=np.where(zero, 0.0, size.d_z),
        p_inside=np.where(zero, 1 / (len(largest) + 1), _adjusted(inside, largest, n)),
        p_outside=_adjusted(outside, largest, n),
        n_units=n,
        flag=size.flag,
    )


def _largest_t(rows: Floats, units: ArrayLike | None, n: int) -> Floats:
    """The largest |t| under each flip, ascending (n_flips,), of centred `rows` (n_features, n_pairs)."""
    codes, _ = unit_codes(units, rows.shape[1])
    means = sum_by_unit(rows, codes, n) / np.bincount(codes)
    # Of the effects themselves nothing is flipped: only so have features their errors' dependence.
    errors = means - means.mean(axis=1, keepdims=True)
    u = largest_of_flips(sum_scores(errors.T, None, None, "mean"), sign_flips(n))
    with np.errstate(divide="ignore"):
        return np.asarray(u * np.sqrt((n - 1) / np.maximum(n - u**2, 0.0)))


def _adjusted(tail: Floats, largest: Floats, n: int) -> Floats:
    """Adjusted p (n_features,) of one-sided `tail` probabilities, each by the |t| that it is worth."""
    worth = stats.t.isf(np.minimum(np.nan_to_num(tail, nan=1.0), 0.5), n - 1)
    reached = len(largest) - np.searchsorted(largest, worth)
    # The flips of centred data have no observed one among them: hence the +1. Never below a single test's.
    adjusted = np.maximum((reached + 1) / (len(largest) + 1), 2 * tail)
    return np.asarray(np.where(np.isnan(tail), 1.0, np.minimum(adjusted, 1.0)))
