"""Equivalence: the two one-sided tests of a clustered mean (Schuirmann 1987), with CRV3 and t(G - 1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.stats.arguments import positive, share
from harness.stats.intervals import mean_interval


@dataclass(frozen=True)
class Equivalence:
    """`p` is the larger of the two one-sided p values; the interval is 1 - 2 alpha wide.

    `flag` is `constant` where every unit shows the same: there is no spread to judge the mean by.
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
    """Is the mean of `differences` (n_pairs,) inside (-margin, margin)?"""
    positive("margin", margin)
    share("alpha", alpha)
    if alpha >= 0.5:
        raise ValueError(f"alpha: {alpha} is not below .5")
    if np.ndim(differences) != 1:
        raise ValueError(f"differences: has {np.ndim(differences)} dimensions, 1 is needed")
    found = mean_interval(differences, units, level=1 - 2 * alpha)
    mean, error = float(found.mean[0]), float(found.error[0])
    if error == 0:
        p = 0.0 if abs(mean) < margin else 1.0
    else:
        distance = min(mean + margin, margin - mean) / error
        p = float(stats.t.sf(distance, found.n_units - 1))
    return Equivalence(
        mean,
        float(found.low[0]),
        float(found.high[0]),
        p,
        found.n_units,
        "constant" if error == 0 else "",
    )
