"""How often what was selected is selected again: of features that are noise, and of some that are strong."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.stats.resampled_statistics import resampled_statistic
from harness.stats.stability import bootstraps, halvings, places, selected

FAMILIES, PAIRS, FEATURES, TOP = 24, 2, 200, 10
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


def activations(
    random: np.random.Generator, strong: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Both variants (n_pairs, n_features), of which the first are strong, and each pair's family."""
    units = np.repeat(np.arange(FAMILIES), PAIRS)
    x = random.normal(size=(FAMILIES, FEATURES))[units] + random.normal(size=(len(units), FEATURES))
    x[:, :strong] += STRENGTH
    return x, random.normal(size=x.shape), units


def chosen(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    units: NDArray[np.intp],
    weights: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """The set of each resample, (n_resamples, n_features), by the statistic as it is tested."""
    statistic = resampled_statistic(x, y, units, weights, statistic="signed-rank")
    return selected(statistic, places(statistic, (x - y).mean(axis=0) + 0 * statistic), TOP)
