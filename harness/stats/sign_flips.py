"""Sign flips of units: the reference distribution of every test.

Up to 16 units the full group. Beyond, a subgroup whose dual code is the two-error-correcting BCH
code: unit i has the code (a^i, a^3i) over GF(2^8), or GF(2^9) from 256 units on, and flip v has the
sign (-1)^<v, code_i>. A subgroup contains the identity and is closed, so its p values are exact
without a +1 (Hemerik and Goeman 2018; Koning and Hemerik 2023), and any four codes are independent,
so second and fourth moments are the full group's. Beyond 511 units, or on request, Monte Carlo with
the +1 (Phipson and Smyth 2010).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.specs.design import FULL_GROUP_UNITS

MOST_BITS = 24  # of a full group on request
FIELDS = {8: 0x11D, 9: 0x211}  # bits of GF(2^m): its polynomial
MOST_GROUPED = 2 ** max(FIELDS) - 1  # units: of more, flips are random
DRAWS = 2**16 - 1  # Monte Carlo's default: with the +1, the floor of a subgroup
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Flips:
    """A set of `count` sign flips of `units` units.

    A group has `codes` (units,), integers of `bits` bits, and one flip for each v < 2^bits. Monte
    Carlo flips have no codes; they are drawn from `seed`.
    """

    units: int
    count: int
    codes: NDArray[np.int64] | None = None
    bits: int = 0
    seed: int = 0

    @property
    def exact(self) -> bool:
        """Whether the flips are a group, so that the p values are exact."""
        return self.codes is not None

    def p(self, exceeding: NDArray[np.int64]) -> Floats:
        """p values from how many flips reach the observed statistic, of any shape."""
        extra = 0 if self.exact else 1
        return (exceeding + extra) / (self.count + extra)

    @cached_property
    def floor(self) -> float:
        """The smallest two-sided p: a sign pattern and its opposite both reach it, where both are in."""
        if self.codes is None:
            return 1 / (self.count + 1)
        sums = _walsh(np.bincount(self.codes, minlength=self.count))
        return (1 + bool((sums == -self.units).any())) / self.count

    def blocks(self, rows: int) -> Iterator[NDArray[np.int8]]:
        """The signs +1 and -1 of all flips in order, (at most `rows`, units) at a time."""
        random = np.random.default_rng(self.seed)
        for start in range(0, self.count, rows):
            stop = min(self.count, start + rows)
            if self.codes is None:
                yield _random_signs(random, stop - start, self.units)
            else:
                parity = np.bitwise_count(np.arange(start, stop)[:, None] & self.codes) & 1
                yield (1 - 2 * parity.astype(np.int8)).astype(np.int8)

    @property
    def signs(self) -> NDArray[np.int8]:
        """All flips at once, (count, units); the first is the identity where `exact`."""
        return np.concatenate(list(self.blocks(2**12)))


def sign_flips(units: int, *, how: str | int = "auto", seed: int = 0) -> Flips:
    """Flips of so many units. `how` is "auto", "full", "monte-carlo" or a number of random flips.

    Raises `ValueError` naming `flips`, as `paired_max_t` calls it, or `seed`.
    """
    if isinstance(how, bool) or not isinstance(how, int | np.integer | str):
        raise ValueError(f"flips: {how!r} is neither a name nor a number of random flips")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed: {seed!r} is not an integer from 0 on")
    return _sign_flips(units, how if isinstance(how, str) else int(how), int(seed))


@lru_cache(maxsize=32)
def _sign_flips(units: int, how: str | int, seed: int) -> Flips:
    if not isinstance(how, str):
        if how < 1:
            raise ValueError(f"flips: {how} random flips; at least 1 is needed")
        return Flips(units, how, seed=seed)
    if how not in ("auto", "full", "monte-carlo"):
        raise ValueError(f"flips: unknown '{how}'; use auto, full, monte-carlo or a number")
    if how == "full" or (how == "auto" and units <= FULL_GROUP_UNITS):
        if units > MOST_BITS:
            raise ValueError(
                f"flips: the full group of {units} units has 2^{units} elements; use 'auto'"
            )
        return Flips(units, 2**units, np.left_shift(1, np.arange(units)), units)
    for bits in FIELDS:
        if how == "auto" and units < 2**bits:
            return Flips(units, 4**bits, bch_codes(bits)[:units], 2 * bits)
    return Flips(units, DRAWS, seed=seed)


def bch_codes(bits: int = 8) -> NDArray[np.int64]:
    """The codes (a^i, a^3i) of units 0 to 2^bits - 2 over GF(2^bits), (2^bits - 1,), a^i in the low bits.

    They are the columns of the parity-check matrix of the code of Bose, Ray-Chaudhuri and Hocquenghem
    that corrects two errors: of distance 5, so that any four columns are independent.
    """
    order = 2**bits - 1
    powers = [1]
    for _ in range(order - 1):
        doubled = powers[-1] << 1
        powers.append(doubled ^ FIELDS[bits] if doubled > order else doubled)
    return np.array([powers[i] | powers[3 * i % order] << bits for i in range(order)])


def _random_signs(random: np.random.Generator, rows: int, units: int) -> NDArray[np.int8]:
    """Signs (rows, units), of unit i by bit i % 64 of the row's word i // 64: any blocks draw the same."""
    words = random.integers(0, 2**64, (rows, -(-units // 64)), np.uint64).astype("<u8", copy=False)
    bits = np.unpackbits(words.view(np.uint8), axis=1, count=units, bitorder="little")
    signs = bits.view(np.int8)
    signs *= -2
    signs += 1
    return signs


def _walsh(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The Walsh-Hadamard transform of (2^n,): at v, the sum of values[c] (-1)^<v, c> over c."""
    step = 1
    while step < len(values):
        pairs = values.reshape(-1, 2, step)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
        step *= 2
    return values
