"""Power of the paired t test, and what a design can detect.

With effect d_z (mean / standard deviation of unit differences), n units and nu = n - 1, the power is
the integral over the variance V ~ chi2(nu) of Phi(lambda - t_c sqrt(V / nu)) for each tail, with
lambda = d_z sqrt(n) and t_c the critical t (Student's noncentral distribution, written so that it
holds at very small alpha). A sign-flip test of the same design has nearly this power, up to its
floor: docs/calibration.md shows the two beside each other.
"""

import math
from functools import cache, partial

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import optimize, stats

from harness.stats.arguments import (
    check_finite,
    check_flag,
    check_positive,
    check_share,
    count,
    number,
)

LARGEST = 1e6  # effect sizes and unit counts are looked for up to here
LARGEST_NU = 10**9  # from here on t is normal, to nine digits
_legendre = cache(partial(leggauss, 400))  # points and weights; not before they are needed


def power(d_z: float, units: int, *, alpha: float = 0.05, two_sided: bool = True) -> float:
    """The chance that the paired t test rejects.

    Arguments:
        d_z: the effect, the mean of unit differences in their standard deviations.
        units: how many, an integer of at least 2.
        alpha: of the test, in (0, 1).
        two_sided: whether the test is; else it looks for a positive effect.

    Returns:
        A probability.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    alpha, d_z = check_share("alpha", alpha), check_finite("d_z", d_z)
    units = count("units", units, at_least=2)
    check_flag("two_sided", two_sided)
    nu = min(units - 1, LARGEST_NU)
    shift = d_z * math.sqrt(units)
    critical = float(stats.t.isf(alpha / (2 if two_sided else 1), nu))
    if math.isinf(critical):
        return 0.0
    # Over s = sqrt(V), whose density is bounded also at nu = 1; apart where the tails are reached.
    top = float(stats.chi.isf(1e-16, nu))
    edge = min(top / 2, (abs(shift) + 9) * math.sqrt(nu) / critical)
    points, weight = _legendre()
    s = np.concatenate([(points + 1) * edge / 2, edge + (points + 1) * (top - edge) / 2])
    weights = np.concatenate([weight * edge, weight * (top - edge)])
    reach = critical * s / math.sqrt(nu)
    tails = stats.norm.cdf(shift - reach)
    if two_sided:
        tails = tails + stats.norm.cdf(-shift - reach)
    density = stats.chi.pdf(s, nu) * weights
    return float(np.clip((density * tails).sum() / density.sum(), 0.0, 1.0))


def minimum_detectable(
    units: int, *, alpha: float = 0.05, power_wanted: float = 0.8, two_sided: bool = True
) -> float:
    """The smallest effect that so many units detect with probability `power_wanted`.

    Arguments:
        units: how many, an integer of at least 2.
        alpha: of the test, in (0, 1).
        power_wanted: the probability to detect it, in (0, 1).
        two_sided: whether the test is.

    Returns:
        d_z of at least 0; infinite where it would be above 2^19.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    power_wanted = check_share("power_wanted", power_wanted)

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
    """The fewest units that detect an effect with probability `power_wanted`.

    Arguments:
        d_z: the effect; not 0, and above 0 for a one-sided test.
        alpha: of the test, in (0, 1).
        power_wanted: the probability to detect it, in (0, 1).
        two_sided: whether the test is.

    Returns:
        At least 2.

    Raises:
        ValueError: naming the argument that is wrong, or where more than a million would be needed.
    """
    check_flag("two_sided", two_sided)
    number("d_z", d_z)
    check_positive("d_z", abs(d_z) if two_sided else d_z)
    power_wanted = check_share("power_wanted", power_wanted)
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
    """How many independent pairs so many clustered ones are worth: n / (1 + (m - 1) rho) (Kish 1965).

    Arguments:
        pairs: n, how many there are.
        pairs_per_unit: m, above 0.
        correlation: rho of two pairs of a unit, from 0 to 1.

    Returns:
        A number of pairs, at most n where m is at least 1.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    count("pairs", pairs, at_least=0)
    correlation = number("correlation", correlation)
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation: {correlation} is not between 0 and 1")
    pairs_per_unit = check_positive("pairs_per_unit", pairs_per_unit)
    return pairs / (1 - correlation + pairs_per_unit * correlation)
