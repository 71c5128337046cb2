"""The scores of Wilcoxon's (1945) signed rank, with Pratt's (1959) rule for zeros, mean ranks for ties."""

import numpy as np
from numba import njit

from harness.stats.arguments import Floats


@njit(nogil=True, cache=True)
def pratt_scores(differences: Floats) -> Floats:
    """Twice the rank of |d| among all pairs, zeros in, times the sign: zeros drop out (Pratt 1959).

    `differences` (n_features, n_pairs), finite; the scores have that shape. Doubled, so that the mean
    rank of ties is an integer, and sums of them are exact in any order.
    """
    features, pairs = differences.shape
    scores = np.zeros((features, pairs))
    for f in range(features):
        d = differences[f]
        active = np.flatnonzero(d)
        zeros = pairs - len(active)
        size = np.abs(d[active])
        order = np.argsort(size)
        start = 0
        while start < len(active):
            stop = start + 1
            while stop < len(active) and size[order[stop]] == size[order[start]]:
                stop += 1
            for n in range(start, stop):
                pair = active[order[n]]
                # Ranks count from 1 and the zeros hold the first: twice the mean of the tied ones.
                scores[f, pair] = (2 * zeros + start + stop + 1) * np.sign(d[pair])
            start = stop
    return scores
