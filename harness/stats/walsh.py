"""The fast engine: all flips of a group at once by Walsh-Hadamard transforms, compiled by numba.

For a feature with the unit sums x_i, flip v has S(v) = sum of x_i (-1)^<v, code_i>. Split v and the
codes into their 8 low bits and the rest: for each value of the high bits one transform of length 256
gives 256 flips for 8 additions each. `LANES` values of the high bits go side by side, so that every
step is a vector operation, and one thread's flips stay in its cache while the features stream past,
from the weakest to the strongest, under a running maximum: the suffix maximum of step-down max-T.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LOW_BITS = 8
LANES = 16
LENGTH = 2**LOW_BITS
CHUNK = LENGTH * LANES  # flips of one chunk
LEAST_BITS = LOW_BITS + 4  # of a group that fills the lanes
FEW = 12  # active units up to which a feature's own distribution is enumerated apart

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@njit(nogil=True, cache=True)
def count_chunks(
    first: int,
    last: int,
    sums: NDArray[Any],
    inverse: Floats,
    order: Counts,
    reach: Floats,
    bound: Floats,
    own_known: NDArray[np.bool_],
    codes: Counts,
    two_sided: bool,
    lowest: float,
    own: Counts,
    joint: Counts,
    maxima: Floats,
) -> None:
    """Chunks `first` to `last` of the flips: adds to `own`, `joint`, fills `maxima`.

    `maxima` has an order of its own. `sums` (columns, features, units) with their scales `inverse`
    (columns, features). Features are taken in `order`; `reach` is what a flip's u must reach to
    count and `bound` the largest u that any flip can give. The running maximum begins at `lowest`. A
    feature whose `own` counts are known and whose bound cannot raise any maximum of the chunk is not
    transformed: every flip counts.
    """
    columns, _, units = sums.shape
    buffer = np.empty((columns, LENGTH, LANES), sums.dtype)
    signs = np.empty((units, LANES), sums.dtype)
    low = codes & (LENGTH - 1)
    high = codes >> LOW_BITS
    for chunk in range(first, last):
        largest = maxima[chunk * CHUNK : (chunk + 1) * CHUNK]
        largest[:] = lowest
        smallest = lowest
        since = 0
        for i in range(units):
            for k in range(LANES):
                signs[i, k] = _sign((chunk * LANES + k) & high[i])
        for f in order:
            if own_known[f] and bound[f] <= smallest:
                joint[f] += CHUNK
                continue
            for c in range(columns):
                rows = buffer[c]
                rows[:] = 0
                for i in range(units):
                    x = sums[c, f, i]
                    if x != 0:
                        for k in range(LANES):
                            rows[low[i], k] += x * signs[i, k]
                _transform(rows)
            threshold = reach[f]
            a = b = 0
            flat = buffer[0].reshape(-1)
            scale = inverse[0, f]
            if columns == 2:
                other = buffer[1].reshape(-1)
                second = inverse[1, f]
                if two_sided:
                    for j in range(CHUNK):
                        v = max(
                            abs(np.float64(flat[j])) * scale, abs(np.float64(other[j])) * second
                        )
                        w = max(largest[j], v)
                        largest[j] = w
                        a += v >= threshold
                        b += w >= threshold
                else:
                    for j in range(CHUNK):
                        v = max(np.float64(flat[j]) * scale, np.float64(other[j]) * second)
                        w = max(largest[j], v)
                        largest[j] = w
                        a += v >= threshold
                        b += w >= threshold
            elif two_sided:
                for j in range(CHUNK):
                    v = abs(np.float64(flat[j])) * scale
                    w = max(largest[j], v)
                    largest[j] = w
                    a += v >= threshold
                    b += w >= threshold
            else:
                for j in range(CHUNK):
                    v = np.float64(flat[j]) * scale
                    w = max(largest[j], v)
                    largest[j] = w
                    a += v >= threshold
                    b += w >= threshold
            joint[f] += b
            if not own_known[f]:
                own[f] += a
            since += 1
            if since == 32:
                since = 0
                smallest = largest.min()


@njit(nogil=True, cache=True)
def count_few(
    first: int,
    last: int,
    sums: NDArray[Any],
    inverse: Floats,
    reach: Floats,
    codes: Counts,
    bits: int,
    two_sided: bool,
    own: Counts,
    own_known: NDArray[np.bool_],
) -> None:
    """The own counts of features `first` to `last` that have at most `FEW` active units.

    With r independent codes among them S takes each of its 2^r values equally often, so a transform
    of length 2^r, in coordinates over a basis of those codes, is the whole distribution.
    """
    columns, _, units = sums.shape
    values = np.empty((columns, 2**FEW))
    coordinates = np.empty(FEW, np.int64)
    reduced = np.empty(FEW, np.int64)
    combination = np.empty(FEW, np.int64)
    for f in range(first, last):
        active = 0
        rank = 0
        places = np.empty(FEW, np.int64)
        for i in range(units):
            some = False
            for c in range(columns):
                some |= sums[c, f, i] != 0
            if some:
                if active < FEW:
                    places[active] = i
                active += 1
        if active > FEW:
            continue
        for n in range(active):
            left = codes[places[n]]
            mask = 0
            for b in range(rank):
                if left ^ reduced[b] < left:
                    left ^= reduced[b]
                    mask ^= combination[b]
            if left:
                coordinates[n] = 1 << rank
                # Kept sorted, so that reducing in order takes leading bits from the top.
                at = rank
                while at > 0 and reduced[at - 1] < left:
                    reduced[at] = reduced[at - 1]
                    combination[at] = combination[at - 1]
                    at -= 1
                reduced[at] = left
                combination[at] = mask ^ (1 << rank)
                rank += 1
            else:
                coordinates[n] = mask
        size = 1 << rank
        values[:, :size] = 0
        for c in range(columns):
            for n in range(active):
                values[c, coordinates[n]] += sums[c, f, places[n]]
            step = 1
            while step < size:
                for base in range(0, size, 2 * step):
                    for i in range(base, base + step):
                        p, q = values[c, i], values[c, i + step]
                        values[c, i] = p + q
                        values[c, i + step] = p - q
                step *= 2
        reached = 0
        for j in range(size):
            best = -np.inf
            for c in range(columns):
                v = values[c, j] * inverse[c, f]
                best = max(best, abs(v) if two_sided else v)
            reached += best >= reach[f]
        own[f] = reached << (bits - rank)
        own_known[f] = True


@njit(inline="always")
def _sign(masked: int) -> int:
    """(-1) to the parity of an integer of up to 32 bits."""
    masked ^= masked >> 16
    masked ^= masked >> 8
    masked ^= masked >> 4
    masked ^= masked >> 2
    masked ^= masked >> 1
    return 1 - 2 * (masked & 1)


@njit(inline="always")
def _transform(rows: NDArray[Any]) -> None:
    """The Walsh-Hadamard transform along the first axis of (256, LANES), two levels a pass."""
    step = 1
    while step < LENGTH:
        for base in range(0, LENGTH, 4 * step):
            for i in range(base, base + step):
                for k in range(LANES):
                    a, b = rows[i, k], rows[i + step, k]
                    c, d = rows[i + 2 * step, k], rows[i + 3 * step, k]
                    p, q, r, s = a + b, a - b, c + d, c - d
                    rows[i, k] = p + r
                    rows[i + step, k] = q + s
                    rows[i + 2 * step, k] = p - r
                    rows[i + 3 * step, k] = q - s
        step *= 4
