"""Controls by relabelling: which features of their kind were selected is what a control set changes.

A layer's features are cut into leaves of like ones without a look at which were selected. A control set
takes from every leaf as many features as were selected there, the selected ones among them, so that under
the null hypothesis (within a leaf, which features were selected has nothing to do with what an edit of
them does) the selected set is one of all such sets, each as likely: its rank among some of them, drawn at
random, is an exact p (Hemerik and Goeman 2018; Phipson and Smyth 2010).
"""

from itertools import combinations, product
from math import comb, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import check_share, count, dense_features, names_of, vector
from harness.stats.scaling import exponents, rescale

LEAF_SIZES = (3, 5, 10, 20, 40)
TOLD = 5  # decimals of a standard deviation: what differs by less is rounding of one machine or another
CONSTANT = 1e-3  # of its mean: a column that spreads less is rounding, not a property of features
LISTED = 20_000  # sets of which all are listed; of more, some are drawn until enough differ

Indices = NDArray[np.intp]
Floats = NDArray[np.float64]


def leaf_size(targets: int, alpha: float) -> int:
    """The fewest features of a leaf that leave twice as many distinct sets as a rank p of alpha needs.

    `targets` are the features of a set; at worst each lies in a leaf of its own. At .05 a set of one needs
    leaves of 40, of two 10, of three 5, and of more 3.

    Raises:
        ValueError: where there is no target, or alpha is no share.
    """
    targets, alpha = count("targets", targets, at_least=1), check_share("alpha", alpha)
    wanted = 2 / alpha
    fits = (size for size in LEAF_SIZES if size**targets >= wanted * (1 - 1e-12))
    return next(fits, int(min(np.ceil(wanted), 2**53)))


def standard_profiles(layers: ArrayLike, profile: ArrayLike) -> Floats:
    """Each column in standard deviations from its mean over the feature's layer.

    Arguments:
        layers: the layer of every feature, (n_features,).
        profile: what features are alike in, (n_features, k).

    Returns:
        (n_features, k). A column that hardly varies within a layer, by less than a thousandth of its
        mean, is 0 there: a norm of 1 with rounding errors tells no features apart.
    """
    columns = dense_features("profile", profile)
    layer = names_of("layers", layers, columns.shape[1], each="feature")
    scaled = rescale(columns, -exponents(columns))
    standard = np.zeros_like(scaled)
    for one in np.unique(layer):
        own = layer == one
        values = scaled[:, own]
        mean = values.mean(axis=1, keepdims=True)
        spread = values.std(axis=1, keepdims=True)
        varies = (spread > CONSTANT * np.abs(mean)) & (spread > 0)
        standard[:, own] = np.where(varies, (values - mean) / np.where(varies, spread, 1.0), 0.0)
    return standard.T.copy()


def leaves(layers: ArrayLike, standard: ArrayLike, *, least: int) -> Indices:
    """The leaf of every feature: each layer halved along its widest column, again and again.

    Arguments:
        layers: the layer of every feature, (n_features,); any strata that no leaf may cross.
        standard: their `standard_profiles`, (n_features, k).
        least: a leaf of fewer than twice as many is cut no further, so none is smaller, unless its layer is.

    Returns:
        Numbers of leaves from 0, (n_features,). They depend on no target.
    """
    columns = np.round(dense_features("standard", standard), TOLD)
    layer = names_of("layers", layers, columns.shape[1], each="feature")
    least = count("least", least, at_least=1)
    number = np.zeros(columns.shape[1], np.intp)
    waiting = [np.flatnonzero(layer == one) for one in np.unique(layer)]
    found = 0
    while waiting:
        own = waiting.pop()
        if len(own) < 2 * least or not len(columns):
            number[own], found = found, found + 1
            continue
        # Of a whole layer every column's spread is 1 but for rounding, and of equally wide ones the first is
        # taken; equal features keep their order. So leaves are the same on every machine.
        widest = np.round(columns[:, own].std(axis=1), TOLD).argmax()
        ordered = own[np.argsort(columns[widest, own], kind="stable")]
        half = len(own) // 2
        waiting += [np.sort(ordered[:half]), np.sort(ordered[half:])]
    return number


def count_sets(targets: ArrayLike, leaf: ArrayLike) -> int:
    """How many distinct sets take as many features of each leaf as `targets` do, themselves among them."""
    return prod(comb(len(members), size) for members, size in _asked(*_checked(targets, leaf)))


def relabelled_sets(targets: ArrayLike, leaf: ArrayLike, *, sets: int, seed: int) -> Indices:
    """Distinct sets that take as many features of each leaf as the targets do, in random order.

    Arguments:
        targets: the features that were selected, (n_targets,), indices from 0 to n_features - 1.
        leaf: the leaf of every feature, (n_features,).
        sets: how many to draw, at most.
        seed: of the draw; the same arguments give the same sets.

    Returns:
        Indices (n_sets, n_targets), of each set ascending within a leaf. None is the targets themselves
        and none comes twice; a set may share features with the targets. Where there are no more than
        `sets`, it is all of them, and the p of a rank among them is that of the whole enumeration.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    wanted, leaf_of = _checked(targets, leaf)
    sets, seed = count("sets", sets, at_least=0), count("seed", seed, at_least=0)
    asked = _asked(wanted, leaf_of)
    random = np.random.default_rng(seed)
    own = tuple(sorted(wanted.tolist()))
    drawn: list[tuple[int, ...]] = []
    if count_sets(wanted, leaf_of) <= LISTED:
        every = product(*(combinations(members, size) for members, size in asked))
        # Each set comes once, ascending within its leaves, and so do the targets.
        itself = tuple(tuple(m for m in members if m in own) for members, _ in asked)
        others = [parts for parts in every if parts != itself]
        drawn = [sum(others[i], ()) for i in random.permutation(len(others))[:sets]]
    else:
        # Taken again where it was drawn before: as likely as drawing from the list of all of them.
        seen = {own}
        while len(drawn) < sets:
            parts = [np.sort(random.choice(m, size, replace=False)) for m, size in asked]
            one = tuple(np.concatenate(parts).tolist())
            if (key := tuple(sorted(one))) not in seen:
                seen.add(key)
                drawn.append(one)
    return np.array(drawn, np.intp).reshape(len(drawn), len(wanted))


def _checked(targets: ArrayLike, leaf: ArrayLike) -> tuple[Indices, Indices]:
    numbers = vector("leaf", leaf)
    if not np.isfinite(numbers).all():
        raise ValueError("leaf: a finite number is needed of every feature")
    wanted = vector("targets", targets)
    if not np.isin(wanted, np.arange(len(numbers))).all():
        raise ValueError(f"targets: not all of them are among the {len(numbers)} features")
    if len(set(wanted.tolist())) < len(wanted):
        raise ValueError("targets: a feature comes twice")
    if not len(wanted):
        raise ValueError("targets: at least one feature is needed")
    return wanted.astype(np.intp), np.unique(numbers, return_inverse=True)[1].ravel()


def _asked(targets: Indices, leaf: Indices) -> list[tuple[list[int], int]]:
    """Of every leaf with a target: its features, and how many of them are targets."""
    found, sizes = np.unique(leaf[targets], return_counts=True)
    return [
        (np.flatnonzero(leaf == one).tolist(), int(size))
        for one, size in zip(found, sizes, strict=True)
    ]
