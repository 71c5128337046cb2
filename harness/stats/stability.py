"""How stable a selection of the best features is: over bootstraps of units, and between halves of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.arguments import Floats
from harness.stats.resampled_statistics import Weights

Places = NDArray[np.int32]
Mask = NDArray[np.bool_]
CENTRAL = (0.025, 0.975)  # between which quantiles of its ranks a feature's range lies


@dataclass(frozen=True)
class Stability:
    """Of each feature, (n_features,): the share of resamples that select it, and its range of ranks.

    Ranks count from 0; of a resample in which a feature does not qualify, its rank is behind all that do.
    The range holds the middle 95 % of them.
    """

    share: Floats
    rank_low: Places
    rank_high: Places


def bootstraps(n_units: int, n: int, seed: int) -> Weights:
    """How often each of n bootstraps has each unit, (n, n_units): as many draws as units (Efron 1979)."""
    drawn = np.random.default_rng(seed).integers(n_units, size=(n, n_units))
    return np.stack([np.bincount(one, minlength=n_units) for one in drawn]).astype(np.int64)


def halvings(n_units: int, n: int, seed: int) -> Weights:
    """Which units n random halves have, (n, n_units) of 0 and 1; the other half has the others.

    Of an odd number the half has one less.
    """
    order = np.random.default_rng(seed).random((n, n_units)).argsort(axis=1)
    return (order < n_units // 2).astype(np.int64)


def places(first: Floats, second: Floats) -> Places:
    """The rank of each feature in each resample, (n_resamples, n_features), from 0.

    The larger `first` is, the better, and what is not above 0 does not qualify; among equal ones the size of
    `second` decides, then the order of the features. What does not qualify comes behind all that do, tied.
    """
    found = np.empty(first.shape, np.int32)
    for row, own, other in zip(found, first, np.abs(second), strict=True):
        (there,) = np.nonzero(own > 0)
        row[:] = len(there)
        # The last key decides first, and equal ones stay in their order.
        order = np.lexsort((-other[there], -own[there]))
        row[there[order]] = np.arange(len(there))
    return found


def selected(first: Floats, ranks: Places, top: int) -> Mask:
    """Which features each resample selects, (n_resamples, n_features): the `top` best that qualify."""
    return (ranks < top) & (first > 0)


def stability(chosen: Mask, ranks: Places) -> Stability:
    """What `selected` and `places` of the resamples, (n_resamples, n_features), say of each feature."""
    low, high = np.quantile(ranks, CENTRAL, axis=0, method="inverted_cdf")
    return Stability(chosen.mean(axis=0), low.astype(np.int32), high.astype(np.int32))


def chance_of_low(share: float, top: int, candidates: int) -> float:
    """At most how probable it is that a feature of low selection probability is in this share of the halves.

    Low is what a half selects no oftener than a random one of the candidates, top / candidates. Of features
    that are in a share of both halves of random halvings, no more than top**2 / candidates / (2 share - 1)
    are such on average, whatever their distribution, so that with no greater probability any is (Shah and
    Samworth 2013, theorem 1; Meinshausen and Bühlmann 2010 have the same bound under exchangeability).

    Arguments:
        share: of the halves that select a feature.
        top: how many features a half selects, at most.
        candidates: how many it selects from.

    Returns:
        A probability; 1 where half the halves or fewer select it.
    """
    if share <= 0.5 or candidates < 1:
        return 1.0
    return min(1.0, top**2 / candidates / (2 * share - 1))


def jaccard(one: Mask, other: Mask) -> Floats:
    """How many features two sets share of those in either, (n,), by row of (n, n_features).

    Of two sets that are empty it is 0: nothing was found twice.
    """
    both, either = (one & other).sum(axis=-1), (one | other).sum(axis=-1)
    return np.asarray(both / np.maximum(either, 1))
