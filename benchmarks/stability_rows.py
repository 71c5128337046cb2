"""How often what was selected is selected again: of features that are noise, and of some that are strong."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.stats.resampled_statistics import resampled_statistic
from harness.stats.stability import bootstraps, chance_of_low, halvings, places, selected

FAMILIES, PAIRS, FEATURES, TOP = 24, 2, 200, 10
FEW, HALVINGS, ALPHA = (
    3,
    50,
    0.05,
)  # of a claim that a selection is stable: so few that it can reach alpha
RESAMPLES = 20  # of each kind, in each replicate
STRENGTH = 4.0  # of a strong feature, in standard deviations of a family
LEFT_OUT = 0.05


def stable(replicates: int) -> Iterator[Row]:
    """Halves of families that say nothing agree as often as two random sets do."""
    replicates = max(20, replicates // 20)
    design = f"{TOP} of {FEATURES} features, {FAMILIES} families"
    for strong in (False, True):
        random = np.random.default_rng(24 + strong)
        again = kept = 0
        for replicate in range(replicates):
            x, y, units = activations(random, TOP if strong else 0)
            half = halvings(FAMILIES, 1, replicate)
            (one,), (other,) = (chosen(x, y, units, part) for part in (half, 1 - half))
            again += int((one & other).sum())
            (own,) = chosen(x, y, units, np.ones((1, FAMILIES), np.int64))
            drawn = chosen(x, y, units, bootstraps(FAMILIES, RESAMPLES, replicate))
            kept += int((drawn & own).sum())
        of, of_drawn = replicates * TOP, replicates * TOP * RESAMPLES
        if strong:
            what = f"strong features that one half selects and the other does not, {design}"
            yield Row("stability", what, LEFT_OUT, "at most", of - again, of)
            what = f"strong features that were selected and a bootstrap leaves out, {design}"
            yield Row("stability", what, LEFT_OUT, "at most", of_drawn - kept, of_drawn)
        else:
            what = f"noise that one half selects and the other does as well, {design}"
            yield Row("stability", what, TOP / FEATURES, "equal", again, of)
            # Its families are those that chose it: no chance level, and what that is worth is shown.
            what = f"noise that was selected and a bootstrap selects as well, {design}"
            yield Row("stability", what, TOP / FEATURES, "none", kept, of_drawn)


def shown_stable(replicates: int) -> Iterator[Row]:
    """How often noise is in as many halves as a claim of `stable` asks for, and what is strong."""
    replicates = max(20, replicates // 10)
    for families in (8, FAMILIES):
        design = f"{FEW} of {FEATURES} features, {families} families"
        for tails in ("normal", "skewed"):
            random = np.random.default_rng(families)
            called = [shown(random, 0, families, tails).any() for _ in range(replicates)]
            what = f"some feature of noise is shown to be stable, {tails}, {design}"
            yield Row("stability", what, ALPHA, "at most", int(sum(called)), replicates)
        random = np.random.default_rng(families)
        found = [shown(random, FEW, families, "normal")[:FEW].all() for _ in range(replicates)]
        what = f"strong features are all shown to be stable, {design}"
        yield Row("stability", what, 1.0, "none", int(sum(found)), replicates)


def shown(random: np.random.Generator, strong: int, families: int, tails: str) -> NDArray[np.bool_]:
    """Which features of a draw are in so many halves that their p is at most alpha, (n_features,)."""
    x, y, units = activations(random, strong, families)
    if tails == "skewed":  # the same in both variants, so that their difference is of none
        x, y = np.exp(1.5 * x), np.exp(1.5 * y)
    half = halvings(families, HALVINGS, int(random.integers(2**32)))
    share = chosen(x, y, units, np.vstack([half, 1 - half]), FEW).mean(axis=0)
    return np.array([chance_of_low(one, FEW, FEATURES) <= ALPHA for one in share])


def activations(
    random: np.random.Generator, strong: int, families: int = FAMILIES
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Both variants (n_pairs, n_features), of which the first are strong, and each pair's family."""
    units = np.repeat(np.arange(families), PAIRS)
    x = random.normal(size=(families, FEATURES))[units] + random.normal(size=(len(units), FEATURES))
    x[:, :strong] += STRENGTH
    return x, random.normal(size=x.shape), units


def chosen(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    units: NDArray[np.intp],
    weights: NDArray[np.int64],
    top: int = TOP,
) -> NDArray[np.bool_]:
    """The set of each resample, (n_resamples, n_features), by the statistic as it is tested."""
    statistic = resampled_statistic(x, y, units, weights, statistic="signed-rank")
    return selected(statistic, places(statistic, (x - y).mean(axis=0) + 0 * statistic), top)
