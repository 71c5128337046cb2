"""How many flips reach each feature's statistic: alone, and as the maximum over features."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from harness.stats import walsh_hadamard as walsh
from harness.stats.sign_flips import Flips
from harness.stats.unit_scores import Columns

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
TOLERANCE = 1e-9  # on u, where equal statistics of different flips may differ in the last bits
HELD = 2**22  # flips x features held at once by the plain way


def count_reaching(
    columns: Columns, reach: Floats, flips: Flips, *, two_sided: bool, step_down: bool
) -> tuple[Counts, Counts]:
    """For each feature: the flips whose own |u| reaches `reach`, and those whose maximum does.

    The maximum is over all features, or with `step_down` over those that are no stronger
    (Westfall and Young 1993, algorithm 2.8, before its running maximum of p).
    A feature that is zero everywhere has u = 0 under every flip: every flip counts for it, and it
    takes no part in the maximum of the others.
    """
    alive = columns.alive
    features = np.flatnonzero(alive)
    order = features[np.argsort(reach[features], kind="stable")]
    lowest = 0.0 if two_sided else -np.inf
    arguments = columns, reach - TOLERANCE, order, flips, two_sided, lowest
    if flips.exact and flips.bits >= walsh.LEAST_BITS:
        own, joint, maxima = _by_transform(*arguments, whole=not step_down)
    else:
        own, joint, maxima = _by_product(*arguments)
    if not step_down:
        joint = flips.count - np.searchsorted(np.sort(maxima), reach - TOLERANCE)
    own[~alive] = joint[~alive] = flips.count
    return own, joint


def _by_transform(
    columns: Columns,
    reach: Floats,
    order: Counts,
    flips: Flips,
    two_sided: bool,
    lowest: float,
    *,
    whole: bool,
) -> tuple[Counts, Counts, Floats]:
    """By Walsh-Hadamard transforms of a group, on every core. The maxima are complete if `whole`."""
    assert flips.codes is not None
    codes, sums, inverse = flips.codes, columns.sums, columns.inverse
    size = np.abs(sums).sum(axis=2, dtype=np.float64) * inverse
    bound = size.max(axis=0)
    n = len(reach)
    own, known = np.zeros(n, np.int64), np.zeros(n, bool)
    maxima = np.empty(flips.count)
    chunks = flips.count // walsh.CHUNK
    threads = min(chunks, _cores())

    def few(part: NDArray[np.intp]) -> None:
        walsh.count_few(
            part[0], part[1], sums, inverse, reach, codes, flips.bits, two_sided, own, known
        )

    def chunked(part: NDArray[np.intp]) -> tuple[Counts, Counts]:
        alone, joint = np.zeros(n, np.int64), np.zeros(n, np.int64)
        walsh.count_chunks(
            part[0], part[1], sums, inverse, order, reach, bound, known, codes,
            two_sided, lowest, whole, alone, joint, maxima,
        )  # fmt: skip
        return alone, joint

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(few, _parts(n, threads)))
        joint = np.zeros(n, np.int64)
        for alone, together in pool.map(chunked, _parts(chunks, threads)):
            own += alone
            joint += together
    return own, joint, maxima


def _by_product(
    columns: Columns, reach: Floats, order: Counts, flips: Flips, two_sided: bool, lowest: float
) -> tuple[Counts, Counts, Floats]:
    """By matrix products with the signs, block by block: any flips, a few features or many."""
    own, joint = np.zeros(len(reach), np.int64), np.zeros(len(reach), np.int64)
    sums = columns.sums[:, order].astype(np.float64)
    inverse, threshold = columns.inverse[:, order], reach[order]
    maxima = []
    for signs in flips.blocks(max(1, HELD // max(1, len(order)))):
        u = (signs.astype(np.float64) @ sums.transpose(0, 2, 1)) * inverse[:, None, :]
        largest = (np.abs(u) if two_sided else u).max(axis=0)
        own[order] += (largest >= threshold).sum(axis=0)
        running = np.maximum(np.maximum.accumulate(largest, axis=1), lowest)
        joint[order] += (running >= threshold).sum(axis=0)
        maxima.append(running[:, -1] if len(order) else np.full(len(signs), lowest))
    return own, joint, np.concatenate(maxima)


def _parts(n: int, parts: int) -> list[NDArray[np.intp]]:
    """The ranges of `n` things in so many nearly equal parts."""
    edges = np.linspace(0, n, parts + 1).astype(int)
    return [edges[i : i + 2] for i in range(parts)]


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
