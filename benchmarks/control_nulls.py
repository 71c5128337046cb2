"""The rank of a set among its controls, where selection has nothing to do with impact.

And where it has: it follows something else that drives impact as well.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.stats import (
    leaf_size,
    leaves,
    matched_sets,
    relabelled_sets,
    residual_rank_p,
    standard_profiles,
)

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA = 0.05


def rank_of(
    targets: NDArray[np.intp], profile: Floats, impact: Floats, controls: int, seed: int
) -> float:
    """The p that a run gives a set of these features of one layer; (n, k) profiles and (n,) impacts."""
    layer = np.zeros(len(impact), int)
    standard = standard_profiles(layer, profile)
    leaf = leaves(layer, standard, least=leaf_size(len(targets), ALPHA))
    sets = relabelled_sets(targets, leaf, sets=controls, seed=seed)
    if not len(sets):
        return 1.0
    every = [targets, *sets]
    profiles = np.array([standard[one].mean(axis=0) for one in every])
    done = [float(impact[one].sum()) for one in every]
    return residual_rank_p(done[0], done[1:], profiles)


def drawn_impacts(random: Random, profile: Floats) -> Floats:
    """Impacts with a long tail that grow with the features' profile."""
    return np.asarray(np.exp(0.8 * profile[:, 0]) * random.lognormal(size=len(profile)))


def control_ranks(replicates: int) -> Iterator[Row]:
    """How often a set that was selected blindly, or by what drives impact as well, is called."""
    replicates = max(100, replicates // 4)
    designs = [(n, k, r) for n, k in ((500, 1), (21, 1), (500, 10), (30, 10)) for r in (19, 99)]
    for features, targets, controls in designs:
        random = np.random.default_rng(features + targets + controls)
        hits = 0
        for seed in range(replicates):
            profile = random.normal(size=(features, 3))
            chosen = random.choice(features, targets, replace=False)
            p = rank_of(chosen, profile, drawn_impacts(random, profile), controls, seed)
            hits += p <= ALPHA
        what = f"rank of {targets} of {features} features among {controls} sets, selected blindly"
        yield Row("controls", what, ALPHA, "at most", hits, replicates)
    for strength, what in ((0.5, "mildly"), (3.0, "strongly")):
        random = np.random.default_rng(11)
        hits = before = 0
        for seed in range(replicates):
            profile = random.normal(size=(1000, 3))
            impact = profile[:, 0] + random.normal(size=1000)
            weight = np.exp(strength * profile[:, 0])
            chosen = random.choice(1000, 10, replace=False, p=weight / weight.sum())
            hits += rank_of(chosen, profile, impact, 99, seed) <= ALPHA
            before += nearest_rank(chosen, profile, impact, seed) <= ALPHA
        name = f"rank of 10 features that were selected {what} by what drives impact"
        yield Row("controls", name, ALPHA, "at most", hits, replicates)
        name = f"the same, {what}, among the nearest features that were not selected"
        yield Row("controls", name, ALPHA, "none", before, replicates)


def nearest_rank(chosen: NDArray[np.intp], profile: Floats, impact: Floats, seed: int) -> float:
    """The plain rank among sets of nearest features, as controls are drawn elsewhere."""
    sets = matched_sets(chosen, np.zeros(len(impact)), profile, sets=99, seed=seed)
    return float((1 + (impact[sets].sum(axis=1) >= impact[chosen].sum()).sum()) / 100)
