"""How many families lie as a claim says: a mean says nothing of it.

Under skew the mean may lie on one side of a value, and most families on the other.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from harness.analysis.units import Units, means_of
from harness.analysis.verdict import Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FamilyShare:
    """That `n_toward` of `n` families lie as claimed, with the interval of their share, `low` to `high`.

    Of clusters it is these that are counted, by what several are called, `names`.
    """

    n_toward: int
    n: int
    low: float
    high: float
    names: str = "families"

    def __str__(self) -> str:
        return f"{self.n_toward} of {self.n} {self.names} [{self.low:.0%}, {self.high:.0%}]"


def share_interval(n_toward: int, n: int, level: float) -> tuple[float, float]:
    """The interval of a share of which `n_toward` of `n` were seen (Clopper and Pearson 1934).

    It covers at least `level` where the families are draws from those that could have been asked, each alone.
    """
    tail = (1 - level) / 2
    low = beta.ppf(tail, n_toward, n - n_toward + 1) if n_toward else 0.0
    high = beta.ppf(1 - tail, n_toward + 1, n - n_toward) if n_toward < n else 1.0
    return float(low), float(high)


def family_share(
    values: Floats,
    units: Units,
    than: float,
    within: float | None,
    direction: int,
    level: float,
) -> FamilyShare | None:
    """The `units` whose own mean of `values` (n_pairs,) is where the claim says: families, or clusters.

    That is above `than` for the direction 1, below it for -1, or no further from it than `within`. A mean
    that is exactly `than` is on neither side. None where there is no unit, or a value is missing.
    """
    if not len(values) or not np.isfinite(values).all():
        return None
    means = means_of(values, units.of)
    away = means - than
    agrees = np.abs(away) <= within if within is not None else np.sign(away) == direction
    n_toward, n = int(agrees.sum()), len(means)
    return FamilyShare(n_toward, n, *share_interval(n_toward, n, level), units.names)


def with_share(design: Verdict, share: FamilyShare | None, units: Units, more: str = "") -> Verdict:
    """A verdict that says on how many families it rests, and `more`; as it is where nothing is counted."""
    if share is None:
        return design
    return replace(
        design,
        because=f"{share}{units.and_families}{more}",
        n_toward=share.n_toward,
        share_low=share.low,
        share_high=share.high,
    )
