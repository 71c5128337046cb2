"""Directions paired one to one: against every pairing there is, and what is exact by construction."""

from itertools import permutations

import numpy as np
import pytest

from harness.stats import matching
from harness.stats.matching import match_directions


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (
        sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_pairing_has_a_larger_sum_of_cosines(seed):
    random = np.random.default_rng(seed)
    rows, others = random.normal(size=(3, 4)), random.normal(size=(7, 4))
    others[:3] = rows[0] + 0.1 * others[:3]  # all three would take the same one
    rows[1:] = rows[0] + 0.3 * rows[1:]
    found = match_directions(rows, others)
    best = max(
        permutations(range(7), 3),
        key=lambda chosen: sum(cosine(rows[i], others[j]) for i, j in enumerate(chosen)),
    )
    assert tuple(found.partner) == best
    assert found.cosine == pytest.approx([cosine(rows[i], others[j]) for i, j in enumerate(best)])


@pytest.mark.parametrize("chunk", [3, 8_192])
def test_a_permutation_that_is_rescaled_and_widened_is_found(monkeypatch, chunk):
    monkeypatch.setattr(matching, "CHUNK", chunk)
    random = np.random.default_rng(1)
    rows = random.normal(size=(20, 16)).astype(np.float32)
    places = random.permutation(50)[:20]
    others = random.normal(size=(50, 16)).astype(np.float32)
    others[places] = rows * random.uniform(0.1, 9, (20, 1)).astype(np.float32)
    found = match_directions(rows, others)
    assert found.partner.tolist() == places.tolist()
    assert found.cosine == pytest.approx(np.ones(20), abs=1e-6)


def test_the_opposite_of_a_direction_and_one_of_no_length_are_no_match():
    found = match_directions([[1.0, 0.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 1.0], [-2.0, 0.1]])
    assert found.partner[0] == 1
    assert found.cosine.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("rows", "others", "words"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0, 3.0]], r"others: shapes \(1, 2\) and \(1, 3\)"),
        ([[1.0], [2.0]], [[1.0]], "others: has 1 directions, 2 or more"),
        ([[np.nan]], [[1.0]], "directions: direction 0 is not finite"),
        ([[1.0]], [[1.0], [np.inf]], "others: direction 1 is not finite"),
    ],
)
def test_what_is_wrong_is_said(rows, others, words):
    with pytest.raises(ValueError, match=words):
        match_directions(rows, others)
