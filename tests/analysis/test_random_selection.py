"""Which features of a random dictionary are selected, beside slow code with lengths of their own."""

import math

import numpy as np
import pytest

from harness.analysis.random_selection import best_random, random_scores
from harness.analysis.units import Units
from harness.specs.ablations import Ablation

FAMILIES = ["a", "a", "b", "b", "c", "c"]


def values(seed, features=40):
    random = np.random.default_rng(seed)
    x, y = np.maximum(random.normal(0, 1, (2, len(FAMILIES), features)), 0)
    lengths = random.uniform(0.2, 3.0, features)
    lengths[::5] = 0.0  # not active where the ablation edits
    return x, y, lengths


def slow(x, y, lengths, sign, most, rank):
    found = []
    for j, length in enumerate(lengths):
        if length == 0:
            continue
        differences = (x[:, j] - y[:, j]).tolist()
        sums = [sum(differences[i : i + 2]) for i in (0, 2, 4)]
        if not any(sums):
            continue
        consistency = sum(sums) / math.sqrt(sum(one**2 for one in sums))
        size = sum(differences) / len(differences) * length
        score = size if rank == "size" else consistency
        if sign * score > 0:
            found.append((-sign * score, j))
    return [j for _, j in sorted(found)][:most]


@pytest.mark.parametrize("rank", ["size", "consistency"])
@pytest.mark.parametrize("toward, sign", [("correct", 1), ("misconception", -1)])
def test_the_best_are_those_of_slow_code(rank, toward, sign):
    select = {"by": "contrast", "rank": rank, "toward": toward}
    ablation = Ablation.model_validate({"name": "a", "select": select})
    for seed in range(5):
        x, y, lengths = values(seed)
        scores = random_scores(ablation, x, y, Units.by_family(FAMILIES), "mean", lengths)
        chosen, own = best_random(ablation, scores, 6)
        assert chosen.tolist() == slow(x, y, lengths, sign, 6, rank)
        assert (np.diff(own) <= 0).all()


def test_a_listed_set_is_held_against_the_contrast_by_size():
    select = {"by": "list", "features": {0: (1,)}}
    ablation = Ablation.model_validate({"name": "a", "select": select, "only": ("organism",)})
    x, y, lengths = values(9)
    scores = random_scores(ablation, x, y, Units.by_family(FAMILIES), "mean", lengths)
    chosen, _ = best_random(ablation, scores, 4)
    assert chosen.tolist() == slow(x, y, lengths, 1, 4, "size")
