"""Matched random features: what removing something equally active and equally large does."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import finite


def matched_sets(
    targets: NDArray[np.intp],
    layers: ArrayLike,
    profile: ArrayLike,
    *,
    sets: int,
    seed: int,
    excluded: ArrayLike = (),
    pool: int = 50,
) -> NDArray[np.intp]:
    """For each target a random feature of its layer among its `pool` nearest, (sets, targets).

    `layers` (n_features,) and `profile` (n_features, k) describe every candidate: matching is by
    Euclidean distance in the profile, each column scaled by its spread. No target, no `excluded`
    feature, and within a set no feature twice. Raises `ValueError` where a layer has too few.
    """
    layer = np.asarray(layers)
    scaled = np.asarray(profile, dtype=float)
    if scaled.ndim != 2 or len(scaled) != len(layer):
        raise ValueError(f"profile: has shape {scaled.shape}, ({len(layer)}, k) is needed")
    finite("profile", scaled)
    if not np.isin(targets, np.arange(len(layer))).all():
        raise ValueError(f"targets: not all of them are among the {len(layer)} features")
    spread = scaled.std(axis=0)
    scaled = scaled / np.where(spread > 0, spread, 1.0)
    taken = np.zeros(len(layer), bool)
    taken[targets] = True
    taken[np.asarray(excluded, dtype=np.intp)] = True
    random = np.random.default_rng(seed)
    chosen = np.empty((sets, len(targets)), np.intp)
    nearest = []
    for target in targets:
        others = np.flatnonzero((layer == layer[target]) & ~taken)
        distance = np.square(scaled[others] - scaled[target]).sum(axis=1)
        nearest.append(others[np.argsort(distance, kind="stable")][:pool])
    for row in chosen:
        used: set[int] = set()
        for i, candidates in enumerate(nearest):
            free = [int(c) for c in candidates if int(c) not in used]
            if not free:
                raise ValueError(
                    f"layer {layer[targets[i]]} has too few other active features for "
                    f"{len(targets)} matched controls"
                )
            row[i] = random.choice(free)
            used.add(int(row[i]))
    return chosen


def control_rank_p(target: float, controls: ArrayLike) -> float:
    """(1 + #{T_r >= T}) / (R + 1): the target's rank among its matched controls (larger is stronger)."""
    values = np.asarray(controls, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("controls: a list of one or more finite numbers is needed")
    if not np.isfinite(target):
        raise ValueError(f"target: {target} is not a finite number")
    return float((1 + (values >= target).sum()) / (len(values) + 1))
