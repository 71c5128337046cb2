"""Features of a few active units, as sparse data has: their own distribution is enumerated.

A flip changes such a feature only in the signs of its active units. Where r of their codes are
independent, these signs are 2^r patterns, each under as many flips of the group: 2^r sums in place of
all 2^bits. Compiled by numba.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from harness.stats.walsh_hadamard import Counts, FlipTest, Floats, parity_sign

FEW = 12  # active units up to which a feature is enumerated: as many sums as a chunk has flips


@njit(nogil=True, cache=True)
def count_few(
    first: int,
    last: int,
    test: FlipTest,
    bits: int,
    own: Counts,
    own_known: NDArray[np.bool_],
) -> None:
    """The own counts of features `first` to `last` that have at most `FEW` active units.

    Fills `own` (n_features,) and marks them in `own_known` (n_features,); `bits` are the group's.
    With r independent codes among the active units S(v), as in `walsh_hadamard`, takes each of its 2^r
    values equally often.
    """
    values = np.empty((len(test.sums), 2**FEW))
    active = np.empty(FEW, np.int64)
    for f in range(first, last):
        n_active = _find_active(f, test.sums, active)
        if n_active > FEW:
            continue
        rank = _enumerate(f, test.sums, test.codes, active[:n_active], values)
        reached = 0
        for j in range(1 << rank):
            best = -np.inf
            for c in range(len(values)):
                u = values[c, j] * test.inverse[c, f]
                best = max(best, abs(u) if test.two_sided else u)
            reached += best >= test.reach[f]
        own[f] = reached << (bits - rank)
        own_known[f] = True


@njit(nogil=True)
def _find_active(f: int, sums: NDArray[Any], active: Counts) -> int:
    """Put the units in which a feature has a sum into `active` (FEW,); how many, or FEW + 1."""
    n_scores, _, n_units = sums.shape
    n_active = 0
    for i in range(n_units):
        for c in range(n_scores):
            if sums[c, f, i] != 0:
                if n_active == FEW:
                    return FEW + 1
                active[n_active] = i
                n_active += 1
                break
    return n_active


@njit(nogil=True)
def _enumerate(f: int, sums: NDArray[Any], codes: Counts, active: Counts, values: Floats) -> int:
    """Put the 2^r values of a feature's S into `values` (n_scores, 2^FEW); their rank r.

    A unit whose code is independent of those before it doubles the list: `values[:, j]` is under the
    flip that turns the independent units named by the bits of j. The sign of any other unit follows
    from the units that add up to it.
    """
    # A basis of the codes in echelon form over GF(2), and which units each of it is made of.
    reduced, units_of = np.empty(FEW, np.int64), np.empty(FEW, np.int64)
    rank = 0
    values[:, 0] = 0
    for i in active:
        remainder, mask = codes[i], 0
        for b in range(rank):
            if remainder ^ reduced[b] < remainder:
                remainder ^= reduced[b]
                mask ^= units_of[b]
        size = 1 << rank
        for c in range(len(values)):
            x = np.float64(sums[c, f, i])
            if remainder:
                for j in range(size):
                    values[c, size + j] = values[c, j] - x
                    values[c, j] += x
            else:
                for j in range(size):
                    values[c, j] += x * parity_sign(j & mask)
        if remainder:
            # Kept sorted, so that reducing in order takes leading bits from the top.
            at = rank
            while at > 0 and reduced[at - 1] < remainder:
                reduced[at] = reduced[at - 1]
                units_of[at] = units_of[at - 1]
                at -= 1
            reduced[at] = remainder
            units_of[at] = mask ^ size
            rank += 1
    return rank
