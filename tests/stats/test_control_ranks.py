"""The target's rank among its controls, plain and beside what the sets are like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats import control_rank_p, residual_rank_p


def test_a_target_that_outranks_k_controls_has_the_p_of_its_rank():
    assert control_rank_p(5.0, np.arange(4.0)) == 1 / 5
    assert control_rank_p(3.0, np.arange(4.0)) == 2 / 5
    assert control_rank_p(-1.0, np.arange(4.0)) == 1


def residuals(values, profiles):
    """By the normal equations, as in a textbook."""
    plane = [[1.0, *row] for row in profiles]
    k = len(plane[0])
    matrix = [[sum(row[i] * row[j] for row in plane) for j in range(k)] for i in range(k)]
    right = [
        sum(row[i] * value for row, value in zip(plane, values, strict=True)) for i in range(k)
    ]
    slopes = np.linalg.solve(matrix, right)
    return [
        value - sum(s * x for s, x in zip(slopes, row, strict=True))
        for value, row in zip(values, plane, strict=True)
    ]


@given(st.integers(0, 10_000), st.integers(19, 60))
def test_residuals_are_those_of_one_plane_through_all_sets(seed, controls):
    random = np.random.default_rng(seed)
    profiles = random.normal(size=(controls + 1, 2))
    values = random.normal(size=controls + 1) + 3 * profiles[:, 0]
    left = residuals(values, profiles)
    wanted = (1 + sum(one >= left[0] for one in left[1:])) / (controls + 1)
    assert residual_rank_p(values[0], values[1:], profiles) == wanted


def test_what_follows_from_the_profile_alone_is_no_rank():
    """The target is the largest and does the most, as all sets do that are as large."""
    size = np.arange(40.0)[::-1]
    noise = np.random.default_rng(1).normal(size=40)
    values = size + 0.1 * noise
    assert control_rank_p(values[0], values[1:]) == 1 / 40
    left = residuals(values, size[:, None])
    wanted = (1 + sum(one >= left[0] for one in left[1:])) / 40
    assert wanted > 0.2
    assert residual_rank_p(values[0], values[1:], size[:, None]) == wanted


def test_a_plane_through_few_sets_would_follow_each_of_them():
    values, profiles = np.arange(18.0)[::-1], np.random.default_rng(0).normal(size=(18, 3))
    assert residual_rank_p(values[0], values[1:], profiles) == 1 / 18


def test_sets_that_do_nothing_are_all_alike():
    profiles = np.random.default_rng(0).normal(size=(100, 3))
    assert residual_rank_p(0.0, np.zeros(99), profiles) == 1
    assert residual_rank_p(5.0, np.full(99, 5.0), profiles) == 1
    assert residual_rank_p(1e300, np.full(99, -1e300), profiles) == 1 / 100


def test_a_profile_of_every_set_is_needed():
    with pytest.raises(ValueError, match="profiles: 4 rows are needed"):
        residual_rank_p(1.0, [1.0, 2.0, 3.0], np.zeros((3, 1)))
