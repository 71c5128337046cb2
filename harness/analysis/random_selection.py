"""Features of a random dictionary, selected as an ablation's own are: by the discovery families' contrast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.selection import contrast_keys, expected_sign, most_consistent
from harness.analysis.units import Units
from harness.specs.ablations import Ablation, Select
from harness.stats.max_t import paired_statistic
from harness.stats.unit_scores import Statistic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RandomScores:
    """What random features are ranked by, signed as `contrast_scores`, and what orders equal ones."""

    first: Floats  # (n_features,)
    second: Floats


def random_scores(
    ablation: Ablation,
    misconception: Floats,
    correct: Floats,
    units: Units,
    statistic: Statistic,
    lengths: Floats,
) -> RandomScores:
    """The scores of features of these values at the readout, (n_pairs, n_features) of each variant.

    `lengths` (n_features,) are those of their directions, and 0 of features that are not active where the
    ablation edits. An ablation that does not select by contrast is held against one that does, by size.
    """
    if ablation.select.by != "contrast":
        ablation = ablation.model_copy(update={"select": Select(by="contrast")})
    found = paired_statistic(misconception, correct, units.of, statistic=statistic)
    found = np.where(lengths > 0, found, 0.0)
    size = (misconception - correct).mean(axis=0) * lengths
    return RandomScores(*contrast_keys(ablation, size, found, most_consistent(units.n)))


def best_random(
    ablation: Ablation, scores: RandomScores, most: int
) -> tuple[NDArray[np.intp], Floats]:
    """The features of the highest scores on the wanted side, best first, at most so many; their scores."""
    wanted = expected_sign(ablation) * scores.first
    # Equal ones in the order of the other score, and then of their numbers.
    order = np.lexsort((np.arange(len(wanted)), -np.abs(scores.second), -wanted))
    chosen = order[wanted[order] > 0][:most]
    return chosen, wanted[chosen]
