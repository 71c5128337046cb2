"""Power of the paired t test, and what a design can detect.

With effect d_z (mean / standard deviation of unit differences), n units and nu = n - 1, the power is
the integral over the variance V ~ chi2(nu) of Phi(lambda - t_c sqrt(V / nu)) for each tail, with
lambda = d_z sqrt(n) and t_c the critical t (Student's noncentral distribution, written so that it
holds at very small alpha). A sign-flip test of the same design has nearly this power, up to its
floor: docs/calibration.md shows the two beside each other.
"""

import math

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import optimize, stats

from harness.stats.arguments import positive, share

LARGEST = 1e6  # effect sizes and unit counts are looked for up to here
POINTS, WEIGHTS = leggauss(400)


def power(d_z: float, units: int, *, alpha: float = 0.05, two_sided: bool = True) -> float:
    """The chance to reject at `alpha` with so many `units`."""
    share("alpha", alpha)
    if not math.isfinite(d_z):
        raise ValueError(f"d_z: {d_z} is not a finite number")
    if not (units >= 2 and units == int(units)):
        raise ValueError(f"units: {units}, an integer of at least 2 is needed")
    nu = units - 1
    shift = d_z * math.sqrt(units)
    critical = float(stats.t.isf(alpha / (2 if two_sided else 1), nu))
    # Over s = sqrt(V), whose density is bounded also at nu = 1; apart where the tails are reached.
    top = float(stats.chi.isf(1e-16, nu))
    edge = min(top / 2, (abs(shift) + 9) * math.sqrt(nu) / critical)
    s = np.concatenate([(POINTS + 1) * edge / 2, edge + (POINTS + 1) * (top - edge) / 2])
    weights = np.concatenate([WEIGHTS * edge, WEIGHTS * (top - edge)])
    reach = critical * s / math.sqrt(nu)
    tails = stats.norm.cdf(shift - reach)
    if two_sided:
        tails = tails + stats.norm.cdf(-shift - reach)
    density = stats.chi.pdf(s, nu) * weights
    return float(np.clip((density * tails).sum() / density.sum(), 0.0, 1.0))


def minimum_detectable(
    units: int, *, alpha: float = 0.05, power_wanted: float = 0.8, two_sided: bool = True
) -> float:
    """The smallest d_z that is detected with probability `power_wanted`."""
    share("power_wanted", power_wanted)

    def lack(d_z: float) -> float:
        return power(d_z, units, alpha=alpha, two_sided=two_sided) - power_wanted

    if lack(0.0) >= 0:
        return 0.0
    top = 1.0
    while lack(top) < 0 and top < LARGEST:
        top *= 2
    return float(optimize.brentq(lack, 0.0, top, xtol=1e-10)) if top < LARGEST else math.inf


def units_needed(
    d_z: float, *, alpha: float = 0.05, power_wanted: float = 0.8, two_sided: bool = True
) -> int:
    """The fewest units with which `d_z` is detected with probability `power_wanted`."""
    positive("d_z", d_z if not two_sided else abs(d_z))
    share("power_wanted", power_wanted)
    low, high = 1, 2
    while power(d_z, high, alpha=alpha, two_sided=two_sided) < power_wanted:
        low, high = high, 2 * high
        if low > LARGEST:
            raise ValueError(f"d_z: {d_z} is too small for any number of units up to 1e6")
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(d_z, middle, alpha=alpha, two_sided=two_sided) >= power_wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def effective_pairs(pairs: int, pairs_per_unit: float, correlation: float) -> float:
    """How many independent pairs so many clustered ones are worth: n / (1 + (m - 1) rho) (Kish 1965)."""
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation: {correlation} is not between 0 and 1")
    positive("pairs_per_unit", pairs_per_unit)
    return pairs / (1 + (pairs_per_unit - 1) * correlation)
