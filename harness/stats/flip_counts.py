"""How many flips reach each feature's statistic: alone, and as the maximum over features."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from harness.stats import few_units, sparse_sums
from harness.stats import walsh_hadamard as walsh
from harness.stats.sign_flips import Flips
from harness.stats.sparse_sums import SparseSums
from harness.stats.unit_scores import ScoreSums

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
# On u: flips that give equal statistics may differ in the last bits, as the order of additions does,
# and a flip that ties with what was observed must count. Real differences are far larger.
TOLERANCE = 1e-9
HELD = 2**22  # flips x features, or x units, held at once by the plain way: 32 MiB of float64


def count_reaching(
    scores: ScoreSums | SparseSums,
    reach: Floats,
    flips: Flips,
    *,
    two_sided: bool,
    step_down: bool,
) -> tuple[Counts, Counts]:
    """For each feature: the flips whose own |u| reaches `reach`, and those whose maximum does.

    `reach` (n_features,) is what each feature showed; both counts are (n_features,). The maximum is
    over all features, or with `step_down` over those that are no stronger (Westfall and Young 1993,
    algorithm 2.8, before its running maximum of p). A feature that is zero everywhere has u = 0 under
    every flip: every flip counts for it, and it takes no part in the maximum of the others.
    """
    alive = scores.alive
    # From the weakest on: the running maximum is then over those that are no stronger. Zero features
    # are left out: in a one-sided test, u = 0 could be the largest.
    features = np.flatnonzero(alive)
    order = features[np.argsort(reach[features], kind="stable")]
    lowest = 0.0 if two_sided else -np.inf
    limits = reach - TOLERANCE, order, flips, two_sided, lowest
    own, joint, maxima = _counted(scores, *limits, whole=not step_down)
    if not step_down:
        # One maximum a flip for all features: how many reach each threshold is a place in their order.
        joint = flips.count - np.searchsorted(np.sort(maxima), reach - TOLERANCE)
    own[~alive] = joint[~alive] = flips.count
    return own, joint


def largest_of_flips(scores: ScoreSums | SparseSums, flips: Flips) -> Floats:
    """The largest |u| over all features under each flip, (n_flips,), in ascending order."""
    alive = np.flatnonzero(scores.alive)
    limits = np.full(len(scores.alive), np.inf), alive, flips, True, 0.0
    return np.sort(_counted(scores, *limits, whole=True)[2])


def _counted(
    scores: ScoreSums | SparseSums,
    reach: Floats,
    order: Counts,
    flips: Flips,
    two_sided: bool,
    lowest: float,
    *,
    whole: bool,
) -> tuple[Counts, Counts, Floats]:
    """Own and joint counts (n_features,) and each flip's maximum (n_flips,), in some order of the flips.

    The maxima are complete if `whole`.
    """
    limits = reach, order, flips, two_sided, lowest
    if isinstance(scores, SparseSums):
        return _by_active(scores, *limits)
    # A transform takes 8 additions a flip and feature where a product takes one for each unit. It needs
    # a group, and one large enough to fill its vectors.
    if flips.exact and flips.bits >= walsh.LEAST_BITS:
        return _by_transform(scores, *limits, whole=whole)
    return _by_product(scores, *limits)


def _by_transform(
    scores: ScoreSums,
    reach: Floats,
    order: Counts,
    flips: Flips,
    two_sided: bool,
    lowest: float,
    *,
    whole: bool,
) -> tuple[Counts, Counts, Floats]:
    """By Walsh-Hadamard transforms of a group, on every core. The maxima are in the transforms' order."""
    assert flips.codes is not None
    size = np.abs(scores.sums).sum(axis=2, dtype=np.float64) * scores.inverse
    bound = size.max(axis=0)  # of u under any signs at all
    test = walsh.FlipTest(scores.sums, scores.inverse, reach, bound, flips.codes, two_sided)
    own, own_known = np.zeros(len(reach), np.int64), np.zeros(len(reach), bool)
    joint = np.zeros(len(reach), np.int64)
    maxima = np.empty(flips.count)
    chunks = flips.count // walsh.CHUNK
    threads = min(chunks, _cores())

    def count_few(part: NDArray[np.intp]) -> None:
        few_units.count_few(part[0], part[1], test, flips.bits, own, own_known)

    def count_chunks(part: NDArray[np.intp]) -> tuple[Counts, Counts]:
        return walsh.count_chunks(part[0], part[1], test, order, own_known, lowest, whole, maxima)

    # The compiled functions let go of the interpreter's lock, and threads share the sums.
    with ThreadPoolExecutor(threads) as pool:
        # First the features of a few active units, whose own counts need no transform: all of them,
        # since a chunk then takes such a feature only where its maximum could matter.
        list(pool.map(count_few, _parts(len(reach), threads)))
        for own_part, joint_part in pool.map(count_chunks, _parts(chunks, threads)):
            own += own_part
            joint += joint_part
    return own, joint, maxima


def _by_product(
    scores: ScoreSums, reach: Floats, order: Counts, flips: Flips, two_sided: bool, lowest: float
) -> tuple[Counts, Counts, Floats]:
    """By matrix products with the signs, block by block: any flips, a few features or many."""
    own, joint = np.zeros(len(reach), np.int64), np.zeros(len(reach), np.int64)
    sums = scores.sums[:, order].astype(np.float64)
    inverse, threshold = scores.inverse[:, order], reach[order]
    maxima = []
    for signs in flips.blocks(max(1, HELD // max(flips.units, len(order)))):
        # (n_scores, flips, n_features); scaled after the sum, so that ties stay ties.
        u = (signs.astype(np.float64) @ sums.transpose(0, 2, 1)) * inverse[:, None, :]
        largest = (np.abs(u) if two_sided else u).max(axis=0)
        own[order] += (largest >= threshold).sum(axis=0)
        running = np.maximum(np.maximum.accumulate(largest, axis=1), lowest)
        joint[order] += (running >= threshold).sum(axis=0)
        maxima.append(running[:, -1] if len(order) else np.full(len(signs), lowest))
    return own, joint, np.concatenate(maxima)


def _by_active(
    scores: SparseSums, reach: Floats, order: Counts, flips: Flips, two_sided: bool, lowest: float
) -> tuple[Counts, Counts, Floats]:
    """By additions over active units, block by block of any flips, on every core."""
    own, joint = np.zeros(len(reach), np.int64), np.zeros(len(reach), np.int64)
    maxima = []

    def count(signs: NDArray[np.int8]) -> tuple[Counts, Counts, Floats]:
        return sparse_sums.count_block(
            scores.values, scores.units, scores.start, scores.inverse, reach, order,
            np.ascontiguousarray(signs.T), two_sided, lowest,
        )  # fmt: skip

    cores = _cores()
    with ThreadPoolExecutor(cores) as pool:
        for signs in flips.blocks(cores * sparse_sums.WIDTH):
            for own_part, joint_part, largest in pool.map(count, np.array_split(signs, cores)):
                own += own_part
                joint += joint_part
                maxima.append(largest)
    return own, joint, np.concatenate(maxima)


def _parts(n: int, parts: int) -> list[NDArray[np.intp]]:
    """The ranges of `n` things in so many nearly equal parts."""
    edges = np.linspace(0, n, parts + 1).astype(int)
    return [edges[i : i + 2] for i in range(parts)]


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
