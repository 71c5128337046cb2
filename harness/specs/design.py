"""What a design can show: its smallest p, the families a claim needs, the effect it detects.

Without scipy, so that `harness plan` answers at once. The detected effect is that of
`stats.power.minimum_detectable`, which a test holds it against: the power of the two-sided paired t test
is the integral over s, the scaled chi distribution of the standard deviation, of the normal tails beyond
the critical t times s. The critical t solves the same integral where there is no effect.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import count

from harness.specs.clusters import FAMILY, plural
from harness.specs.spec import Spec

TO_CONTRAST = 2  # families that discover: a contrast of one has no spread
# As `stats.sign_flips` makes them; a test holds the two together.
FULL_GROUP_UNITS = 16  # up to so many units every flip is taken
SUBGROUP_BITS = {255: 16, 511: 18}  # up to so many units, there are 2^bits flips
MOST_STAKED = 0.5  # as `stats.bounded_means` stakes at most of what can be lost
RANDOM_BITS = 16  # beyond: random flips, with the +1 as many


def asked_for(spec: Spec, families: int, tag: str = FAMILY, share: float = 1.0) -> str:
    """What a claim needs to reach a share of the spec's alpha, of so many families, or clusters by a tag."""
    needed = families_needed(share * spec.contrast.alpha)
    if needed is None:
        return f"no number of {plural(tag)} can; raise alpha"
    return asking_for(spec, families, needed, tag)


def asking_for(spec: Spec, families: int, needed: int, tag: str = FAMILY) -> str:
    """How to have `needed` families confirm, where there are so many in all, or clusters of them by a tag."""
    if tag != FAMILY:
        units = plural(tag)
        return f"it needs {needed} {units} on the confirming side; add families of other {units}"
    discovery = spec.split.discovery
    advice = f"it needs {needed} families on the confirming side"
    if discovery:
        advice += f", {needed_in_all(needed, discovery)} in all"
    share = largest_share(families, needed)
    by_contrast = any(ablation.select.by == "contrast" for ablation in spec.ablations)
    fewest = TO_CONTRAST if by_contrast else min(1, len(spec.ablations))
    if share is not None and share < discovery and math.ceil(share * families) >= fewest:
        advice += f", or `split: {{discovery: {share:g}}}`"
    return advice


def largest_share(families: int, confirming: int) -> float | None:
    """The largest share, in hundredths, that discovers and leaves so many; None where none does."""
    shares = (hundredths / 100 for hundredths in range(99, -1, -1))
    return next((s for s in shares if families - math.ceil(s * families) >= confirming), None)


def smallest_p(units: int) -> float:
    """The smallest two-sided p that sign flips of so many units can give.

    Of a subgroup it is that of one flip: whether the opposite signs are in it as well, and the
    smallest p is twice this, depends on the number of units.
    """
    if units > FULL_GROUP_UNITS:
        bits = next((bits for most, bits in SUBGROUP_BITS.items() if units <= most), RANDOM_BITS)
        return 2.0**-bits
    return 2.0 ** (1 - units) if units else 1.0


def smallest_stable(top: int, features: int) -> float:
    """The smallest p of a selection of `top` among so many features: each is in every half.

    See `harness.stats.stability.chance_of_low`.
    """
    return min(1.0, top**2 / features)


def smallest_bet(
    units: int,
    than: float,
    within: float | None,
    direction: int,
    alpha: float,
    bounds: tuple[float, float],
) -> float:
    """The smallest p that bets on so many units of a bounded mean can give, see `stats.bounded_means`.

    Two-sided against `than`, on the side of `direction`; or of the claim that it lies `within` around it.
    Where every unit is as far on the claimed side as can be; a test holds the two together.
    """
    low, high = bounds

    def won(value: float, sign: int) -> float:
        m = min(1.0, max(0.0, (value - low) / (high - low)))
        m = m if sign > 0 else 1 - m
        total, seen, spread = 0.0, 0.5, 0.25
        for i in range(1, units + 1):
            earlier = 0.25 if i == 1 else spread / i
            stake = math.sqrt(2 * math.log(2 / alpha) / (units * earlier))
            total += math.log1p((min(stake, MOST_STAKED / m) if m else stake) * (1 - m))
            seen += 1
            spread += (1 - seen / (i + 1)) ** 2
        return total

    if within is None:
        return min(1.0, 2 * math.exp(-won(than, direction)))
    return max(math.exp(-won(than - within, 1)), math.exp(-won(than + within, -1)))


def families_needed(alpha: float) -> int | None:
    """The fewest families whose sign flips can give a p of alpha; None where no number can."""
    return next((units for units in range(1, 512) if smallest_p(units) <= alpha), None)


def needed_in_all(confirming: int, discovery: float) -> int:
    """The smallest number of families whose confirming side has so many."""
    start = max(confirming, int(confirming / (1 - discovery)) - 2)
    return next(n for n in count(start) if n - math.ceil(discovery * n) >= confirming)


STEPS = 400  # of a sum over log s: smooth, and zero at both ends, so that it converges quickly
POWER = 0.8


def smallest_effect(units: int, alpha: float) -> float:
    """The smallest d_z that `units` find at `alpha`, two-sided, four times in five."""
    weights = _weights(units - 1)
    critical = _root(lambda t: alpha - _rejected(weights, 0.0, t))
    found = partial(_rejected, weights, t=critical)
    return _root(lambda shift: found(shift) - POWER) / math.sqrt(units)


def _weights(freedom: int) -> list[tuple[float, float]]:
    """Values of s = sqrt(chi2 / freedom) and their probabilities."""
    low, high = -80 / freedom, math.log1p(9 / math.sqrt(freedom))
    steps = [low + (high - low) * (i + 0.5) / STEPS for i in range(STEPS)]
    logs = [freedom * (u - math.exp(2 * u) / 2) for u in steps]
    density = [math.exp(log - max(logs)) for log in logs]
    total = sum(density)
    return [(math.exp(u), each / total) for u, each in zip(steps, density, strict=True)]


def _rejected(weights: list[tuple[float, float]], shift: float, t: float) -> float:
    """The chance that |T| is above t, where the mean is `shift` standard errors from zero."""
    half = math.sqrt(0.5)
    return sum(
        weight * (math.erfc((t * s - shift) * half) + math.erfc((t * s + shift) * half)) / 2
        for s, weight in weights
    )


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    while rising(high) < 0:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return high
