"""Equivalence: the two one-sided tests of a clustered mean (Schuirmann 1987), with CRV3 and t(G - 1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.stats.arguments import check_positive, check_share, vector
from harness.stats.intervals import mean_interval


@dataclass(frozen=True)
class Equivalence:
    """The mean and its interval in the differences' own unit; whether it is small is `p`.

    `p` is the larger of the two one-sided p values, and `low` to `high` covers 1 - 2 alpha. `flag` is
    `constant` where every unit shows the same: there is no spread to judge the mean by.
    """

    mean: float
    low: float
    high: float
    p: float
    n_units: int
    flag: str = ""


def equivalence(
    differences: ArrayLike, units: ArrayLike, *, margin: float, alpha: float = 0.05
) -> Equivalence:
    """Is the mean of the differences inside (-margin, margin)? Two one-sided tests (Schuirmann 1987).

    Arguments:
        differences: (n_pairs,), of one feature.
        units: the unit of each pair, (n_pairs,).
        margin: in the unit of the differences, above 0; to be fixed before they are seen.
        alpha: of each one-sided test, in (0, .5).

    Returns:
        `Equivalence`: equivalent at `alpha` where its `p` is at most that, which is where its interval
        lies inside the margin. The standard error is CRV3's, with t(n_units - 1); see `mean_interval`.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    margin, alpha = check_positive("margin", margin), check_share("alpha", alpha)
    if alpha >= 0.5:
        raise ValueError(f"alpha: {alpha} is not below .5")
    interval = mean_interval(vector("differences", differences), units, level=1 - 2 * alpha)
    mean, error = float(interval.mean[0]), float(interval.error[0])
    if error == 0:
        p = 0.0 if abs(mean) < margin else 1.0
    else:
        # The nearer end decides. A plain division: Python's own raises where the quotient is too large.
        with np.errstate(over="ignore"):
            distance = np.float64(margin - abs(mean)) / error
        p = float(stats.t.sf(distance, interval.n_units - 1))
    return Equivalence(
        mean,
        float(interval.low[0]),
        float(interval.high[0]),
        p,
        interval.n_units,
        "constant" if error == 0 else "",
    )
