"""Matched random features: what removing something equally active and equally large does.

Any edit of a residual stream moves answers. A target is shown to matter only beside features of its
layer that fire as often and as strongly, and whose directions are as long.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import count, dense_features, names_of, vector
from harness.stats.scaling import exponents, rescale


def matched_sets(
    targets: ArrayLike,
    layers: ArrayLike,
    profile: ArrayLike,
    *,
    sets: int,
    seed: int,
    excluded: ArrayLike = (),
    pool: int = 50,
) -> NDArray[np.intp]:
    """Sets of controls: for each target a random feature of its layer among the most alike.

    Arguments:
        targets: the features to match, (n_targets,), indices from 0 to n_features - 1.
        layers: the layer of every candidate, (n_features,).
        profile: what candidates are alike in, (n_features, k). Distance is Euclidean, each column
            scaled by its standard deviation over all features.
        sets: how many sets to draw.
        seed: of the draw; the same arguments give the same sets.
        excluded: features that may not be drawn, indices.
        pool: how many of the nearest features a control is drawn from.

    Returns:
        Indices (sets, n_targets): no target, no `excluded` feature, and within a set no feature twice.
        Two sets may share features.

    Raises:
        ValueError: naming the argument that is wrong, or the layer that has too few other features.
    """
    columns = dense_features("profile", profile)
    scaled = rescale(columns, -exponents(columns)).T.copy()
    n_features = len(scaled)
    layer = names_of("layers", layers, n_features, each="feature")
    wanted, taken = _indices("targets", targets, n_features), np.zeros(n_features, bool)
    taken[wanted] = True
    taken[_indices("excluded", excluded, n_features)] = True
    sets, pool = count("sets", sets, at_least=0), count("pool", pool, at_least=1)
    seed = count("seed", seed, at_least=0)
    # Over all features, so that a column weighs the same for every target.
    spread = scaled.std(axis=0)
    scaled = scaled / np.where(spread > 0, spread, 1.0)
    nearest = []
    for target in wanted:
        others = np.flatnonzero((layer == layer[target]) & ~taken)
        distance = np.square(scaled[others] - scaled[target]).sum(axis=1)
        # Stable: equal distances keep their order, so that the draw is the same on every machine.
        nearest.append(others[np.argsort(distance, kind="stable")][:pool])
    random = np.random.default_rng(seed)
    drawn = [_draw_set(nearest, layer[wanted], random) for _ in range(sets)]
    return np.array(drawn, np.intp).reshape(sets, len(wanted))


def _indices(name: str, values: ArrayLike, n_features: int) -> NDArray[np.intp]:
    """Indices of features, (n,), none twice; raises `ValueError` where one is none of `n_features`."""
    given = vector(name, values)
    if not np.isin(given, np.arange(n_features)).all():
        raise ValueError(f"{name}: not all of them are among the {n_features} features")
    return given.astype(np.intp)


def _draw_set(
    nearest: list[NDArray[np.intp]], layers: NDArray[Any], random: np.random.Generator
) -> list[int]:
    """One of each target's nearest features; `layers` (n_targets,) are what a fault names.

    A set is edited as a whole, as the targets are, so a feature is once in it. Where pools overlap, a
    later target draws from what the earlier ones left.
    """
    drawn: list[int] = []
    used: set[int] = set()
    for candidates, layer in zip(nearest, layers, strict=True):
        free = [int(candidate) for candidate in candidates if int(candidate) not in used]
        if not free:
            raise ValueError(
                f"layer {layer} has too few other active features for "
                f"{len(nearest)} matched controls"
            )
        drawn.append(int(random.choice(free)))
        used.add(drawn[-1])
    return drawn
