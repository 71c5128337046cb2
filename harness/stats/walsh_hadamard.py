"""The fast engine: all flips of a group at once by Walsh-Hadamard transforms, compiled by numba.

For a feature with the unit sums x_i, flip v has S(v) = sum of x_i (-1)^<v, code_i>. Split v and the
codes into their 8 low bits and the rest: for each value of the high bits one transform of length 256
gives 256 flips for 8 additions each. `LANES` values of the high bits go side by side, so that every
step is a vector operation, and one thread's flips stay in its cache while the features stream past,
from the weakest to the strongest, under a running maximum: the suffix maximum of step-down max-T.
"""

import heapq
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
    whole: bool,
    own: Counts,
    joint: Counts,
    maxima: Floats,
) -> None:
    """Chunks `first` to `last` of the flips: adds to `own`, `joint`, fills `maxima`.

    `sums` (columns, features, units) with their scales `inverse` (columns, features). Features are
    taken in `order`; `reach` is what a flip's u must reach to count and `bound` the largest u that
    any flip can give. The running maximum begins at `lowest`; `maxima`, in an order of its own, is
    complete only where `whole`.

    A feature whose `own` counts are known waits, strongest bound first, and joins the running
    maximum only where it can change a count: while a maximum of the chunk is below the threshold at
    hand and the feature's bound is not.
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
        waiting = [(0.0, 0)]
        waiting.clear()
        for i in range(units):
            for k in range(LANES):
                signs[i, k] = _sign((chunk * LANES + k) & high[i])
        for f in order:
            threshold = reach[f]
            if own_known[f]:
                heapq.heappush(waiting, (-bound[f], f))
            while smallest < threshold and len(waiting) > 0 and -waiting[0][0] >= threshold:
                _, one = heapq.heappop(waiting)
                _sum_flips(one, sums, low, signs, buffer)
                _join(one, buffer, inverse, two_sided, largest, threshold)
                since += 1
                if since >= 8:
                    since = 0
                    smallest = largest.min()
            if not own_known[f]:
                _sum_flips(f, sums, low, signs, buffer)
                alone, together = _join(f, buffer, inverse, two_sided, largest, threshold)
                own[f] += alone
                joint[f] += together
                since += 1
                if since >= 32:
                    since = 0
                    smallest = largest.min()
            elif smallest >= threshold:
                joint[f] += CHUNK
            else:
                joint[f] += (largest >= threshold).sum()
        while whole and len(waiting) > 0:
            _, one = heapq.heappop(waiting)
            _sum_flips(one, sums, low, signs, buffer)
            _join(one, buffer, inverse, two_sided, largest, np.inf)


@njit(inline="always")
def _sum_flips(
    f: int, sums: NDArray[Any], low: Counts, signs: NDArray[Any], buffer: NDArray[Any]
) -> None:
    """The sums of one feature under every flip of a chunk, into `buffer` (columns, 256, LANES)."""
    columns, _, units = sums.shape
    for c in range(columns):
        rows = buffer[c]
        rows[:] = 0
        for i in range(units):
            x = sums[c, f, i]
            if x != 0:
                for k in range(LANES):
                    rows[low[i], k] += x * signs[i, k]
        _transform(rows)


@njit(inline="always")
def _join(
    f: int,
    buffer: NDArray[Any],
    inverse: Floats,
    two_sided: bool,
    largest: Floats,
    threshold: float,
) -> tuple[int, int]:
    """Raise the running maximum by one feature; the flips whose u, and whose maximum, now reach."""
    alone = together = 0
    first = buffer[0].reshape(-1)
    scale = inverse[0, f]
    if len(buffer) == 1:
        for j in range(CHUNK):
            u = np.float64(first[j]) * scale
            if two_sided:
                u = abs(u)
            w = max(largest[j], u)
            largest[j] = w
            alone += u >= threshold
            together += w >= threshold
    else:
        second = buffer[1].reshape(-1)
        other = inverse[1, f]
        for j in range(CHUNK):
            u = np.float64(first[j]) * scale
            v = np.float64(second[j]) * other
            if two_sided:
                u, v = abs(u), abs(v)
            w = max(largest[j], max(u, v))
            largest[j] = w
            alone += max(u, v) >= threshold
            together += w >= threshold
    return alone, together


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

    With r independent codes among them S takes each of its 2^r values equally often. A unit whose
    code is independent of those before it doubles the list of values; the sign of any other follows.
    """
    columns, _, units = sums.shape
    values = np.empty((columns, 2**FEW))
    reduced = np.empty(FEW, np.int64)
    combination = np.empty(FEW, np.int64)
    for f in range(first, last):
        active = 0
        for i in range(units):
            for c in range(columns):
                if sums[c, f, i] != 0:
                    active += 1
                    break
        if active > FEW:
            continue
        rank = 0
        values[:, 0] = 0
        for i in range(units):
            some = False
            for c in range(columns):
                some |= sums[c, f, i] != 0
            if not some:
                continue
            left = codes[i]
            mask = 0
            for b in range(rank):
                if left ^ reduced[b] < left:
                    left ^= reduced[b]
                    mask ^= combination[b]
            size = 1 << rank
            for c in range(columns):
                x = np.float64(sums[c, f, i])
                if left:
                    for j in range(size):
                        values[c, size + j] = values[c, j] - x
                        values[c, j] += x
                else:
                    for j in range(size):
                        values[c, j] += x * _sign(j & mask)
            if left:
                # CachedForward sorted, so that reducing in order takes leading bits from the top.
                at = rank
                while at > 0 and reduced[at - 1] < left:
                    reduced[at] = reduced[at - 1]
                    combination[at] = combination[at - 1]
                    at -= 1
                reduced[at] = left
                combination[at] = mask ^ size
                rank += 1
        reached = 0
        for j in range(1 << rank):
            best = -np.inf
            for c in range(columns):
                u = values[c, j] * inverse[c, f]
                best = max(best, abs(u) if two_sided else u)
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
