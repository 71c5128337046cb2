"""The fast engine: all flips of a group at once by Walsh-Hadamard transforms, compiled by numba.

For a feature with the unit sums x_i, flip v has S(v) = sum of x_i (-1)^<v, code_i>. Split v and the
codes into their 8 low bits and the rest: for each value of the high bits one transform of length 256
gives 256 flips for 8 additions each. `LANES` values of the high bits go side by side, so that every
step is a vector operation. These 256 x `LANES` flips are a chunk. One thread takes a chunk at a time,
and its sums and maxima stay in the core's cache while the features stream past, from the weakest to
the strongest, under a running maximum: the suffix maximum of step-down max-T. Chunks share nothing
but what is only read, so that threads need no locks.

Sums may be float32, which halves the work, where they are integers: `unit_scores` sees to it that
the absolute values of a feature's sums add up to less than 2^24. Every intermediate of a transform is
such a sum under some signs, and an integer below 2^24 is exact in float32, in any order of additions.
"""

import heapq
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

LOW_BITS = 8
LANES = 16  # as many float32 as the widest vector registers hold, 512 bits
LENGTH = 2**LOW_BITS
CHUNK = LENGTH * LANES  # flips of one chunk: 32 KiB of float64
LEAST_BITS = LOW_BITS + 4  # of a group that fills the lanes
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class FlipTest(NamedTuple):
    """What is flipped and what it is held against; a tuple, since numba compiles no dataclass.

    Shapes: `sums` (n_scores, n_features, n_units) in float32 or float64 and `inverse`, the scales
    1 / sqrt(sum of squares) or 0, (n_scores, n_features), as in `ScoreSums`; `reach` (n_features,),
    what a flip's u must reach to count, and `bound` (n_features,), the largest u that any flip can
    give; `codes` (n_units,), which are the group.
    """

    sums: NDArray[Any]
    inverse: Floats
    reach: Floats
    bound: Floats
    codes: Counts
    two_sided: bool


@njit(nogil=True, cache=True)
def count_chunks(
    first: int,
    last: int,
    test: FlipTest,
    order: Counts,
    own_known: NDArray[np.bool_],
    lowest: float,
    whole: bool,
    maxima: Floats,
) -> tuple[Counts, Counts]:
    """Counts (n_features,) over chunks `first` to `last` of the flips: own, and of the maximum.

    Features are taken in `order`, weakest first. Own counts are left at 0 where they are `own_known`,
    (n_features,). The running maximum begins at `lowest`. `maxima` (n_flips,) is filled at these
    chunks, in an order of its own, and is complete only where `whole`.
    """
    n_features = test.sums.shape[1]
    own, joint = np.zeros(n_features, np.int64), np.zeros(n_features, np.int64)
    for chunk in range(first, last):
        largest = maxima[chunk * CHUNK : (chunk + 1) * CHUNK]
        largest[:] = lowest
        _count_chunk(chunk, test, order, own_known, whole, largest, own, joint)
    return own, joint


@njit(nogil=True)
def _count_chunk(
    chunk: int,
    test: FlipTest,
    order: Counts,
    own_known: NDArray[np.bool_],
    whole: bool,
    largest: Floats,
    own: Counts,
    joint: Counts,
) -> None:
    """Add one chunk's counts to `own` and `joint`, and raise its maxima `largest` (CHUNK,).

    A feature whose own counts are known waits, strongest bound first, and joins the running maximum
    only where it can change a count: while a maximum of the chunk is below the threshold at hand and
    the feature's bound is not. A feature that never joins costs no transform.
    """
    n_scores, _, n_units = test.sums.shape
    # Made here and not passed on: only so does the compiler know that it overlaps no other array.
    # Where it has to expect that, everything takes 1.4 to 1.9 times as long.
    buffer = np.empty((n_scores, LENGTH, LANES), test.sums.dtype)
    low = test.codes & (LENGTH - 1)
    signs = np.empty((n_units, LANES), test.sums.dtype)
    for i in range(n_units):
        for k in range(LANES):
            signs[i, k] = parity_sign((chunk * LANES + k) & (test.codes[i] >> LOW_BITS))
    # The smallest of `largest`, looked up now and then: it costs a pass over the chunk, and as
    # maxima only rise, an old one is too low, which makes work and no wrong count.
    smallest = largest[0]
    joined = 0  # since then
    waiting = [(0.0, 0)]
    waiting.clear()  # numba takes the type from what was in it
    for f in order:
        threshold = test.reach[f]
        if own_known[f]:
            heapq.heappush(waiting, (-test.bound[f], f))
        while smallest < threshold and len(waiting) > 0 and -waiting[0][0] >= threshold:
            _, other = heapq.heappop(waiting)
            _sum_flips(other, test.sums, low, signs, buffer)
            _join(other, buffer, test.inverse, test.two_sided, largest, threshold)
            joined += 1
            if joined >= 8:
                joined = 0
                smallest = largest.min()
        if not own_known[f]:
            _sum_flips(f, test.sums, low, signs, buffer)
            alone, together = _join(f, buffer, test.inverse, test.two_sided, largest, threshold)
            own[f] += alone
            joint[f] += together
            joined += 1
            if joined >= 32:
                joined = 0
                smallest = largest.min()
        elif smallest >= threshold:
            joint[f] += CHUNK
        else:
            joint[f] += (largest >= threshold).sum()
    while whole and len(waiting) > 0:
        _, other = heapq.heappop(waiting)
        _sum_flips(other, test.sums, low, signs, buffer)
        _join(other, buffer, test.inverse, test.two_sided, largest, np.inf)


@njit(inline="always")
def _sum_flips(
    f: int, sums: NDArray[Any], low: Counts, signs: NDArray[Any], buffer: NDArray[Any]
) -> None:
    """The sums of one feature under every flip of a chunk, into `buffer` (n_scores, 256, LANES).

    Each unit's sum goes to the row of its low bits, with the sign that each lane's high bits give it;
    the transform over rows then sums them under every sign that the low bits can give.
    """
    n_scores, _, n_units = sums.shape
    for c in range(n_scores):
        rows = buffer[c]
        rows[:] = 0
        for i in range(n_units):
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


@njit(inline="always")
def parity_sign(masked: int) -> int:
    """(-1) to the parity of an integer of up to 32 bits."""
    masked ^= masked >> 16
    masked ^= masked >> 8
    masked ^= masked >> 4
    masked ^= masked >> 2
    masked ^= masked >> 1
    return 1 - 2 * (masked & 1)


@njit(inline="always")
def _transform(rows: NDArray[Any]) -> None:
    """The Walsh-Hadamard transform along the first axis of (256, LANES), in place.

    Two of its eight levels a pass, so that each row is loaded and stored half as often.
    """
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
