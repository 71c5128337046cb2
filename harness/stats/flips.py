"""Sign flips of units: the reference distribution of every test.

Up to 16 units the full group. Beyond, the 2^16-element subgroup whose dual code is the
two-error-correcting BCH code: unit i has the code (a^i, a^3i) over GF(2^8), and flip v has the sign
(-1)^<v, code_i>. It contains the identity and is closed, so its p values are exact without a +1
(Hemerik and Goeman 2018; Koning and Hemerik 2023), and any four codes are independent, so second and
fourth moments are the full group's. Beyond 255 units, Monte Carlo with the +1 (Phipson and Smyth
2010).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FULL_GROUP_UNITS = 16
SUBGROUP_UNITS = 255
POLYNOMIAL = 0x11D


@dataclass(frozen=True)
class Flips:
    """`signs` (flips, units) of +1 and -1; the first row is the identity where `exact`."""

    signs: NDArray[np.int8]
    exact: bool

    def __post_init__(self) -> None:
        self.signs.flags.writeable = False

    @property
    def count(self) -> int:
        """How many flips there are."""
        return len(self.signs)

    def p(self, exceeding: NDArray[np.int64]) -> NDArray[np.float64]:
        """p values from how many flips reach the observed statistic."""
        extra = 0 if self.exact else 1
        return (exceeding + extra) / (self.count + extra)

    @property
    def floor(self) -> float:
        """The smallest two-sided p: both a sign pattern and its opposite reach it, where both are in."""
        opposite = bool((self.signs == -1).all(axis=1).any())
        return (1 + (opposite if self.exact else 0)) / (self.count + (0 if self.exact else 1))


@lru_cache(maxsize=8)
def sign_flips(units: int, *, how: str | int = "auto", seed: int = 0) -> Flips:
    """Flips of so many units. `how` is "auto", "full", or a number of Monte Carlo flips.

    Shared between calls: `signs` is read-only.
    """
    if isinstance(how, int):
        return _monte_carlo(units, how, seed)
    if how == "full" or units <= FULL_GROUP_UNITS:
        if units > 24:
            raise ValueError(
                f"how: the full group of {units} units has 2^{units} elements; use 'auto'"
            )
        return Flips(_signs(np.arange(2**units), np.left_shift(1, np.arange(units))), exact=True)
    if units <= SUBGROUP_UNITS:
        return Flips(_signs(np.arange(2**16), bch_codes()[:units]), exact=True)
    return _monte_carlo(units, 2**16 - 1, seed)


def bch_codes() -> NDArray[np.int64]:
    """The 16-bit codes (a^i, a^3i) of units 0 to 254, over GF(2^8) modulo 0x11d."""
    powers = [1]
    for _ in range(SUBGROUP_UNITS - 1):
        doubled = powers[-1] << 1
        powers.append(doubled ^ POLYNOMIAL if doubled & 0x100 else doubled)
    return np.array(
        [powers[i] | powers[3 * i % SUBGROUP_UNITS] << 8 for i in range(SUBGROUP_UNITS)]
    )


def _signs(flips: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int8]:
    parity = np.bitwise_count(flips[:, None] & codes[None, :]) & 1
    return (1 - 2 * parity.astype(np.int8)).astype(np.int8)


def _monte_carlo(units: int, count: int, seed: int) -> Flips:
    random = np.random.default_rng(seed)
    return Flips(random.choice(np.array([-1, 1], np.int8), (count, units)), exact=False)
