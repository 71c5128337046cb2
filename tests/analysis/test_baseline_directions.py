"""Directions that a set must beat, against plain loops and against Newton's method in every dimension."""

import numpy as np
import pytest

from harness.analysis.baseline_directions import baseline_direction, probe, strongest


def some(n=9, width=5, apart=1.0, seed=0, scale=1.0):
    """What so many pairs hold: the variant that is moved toward, and the other one."""
    random = np.random.default_rng(seed)
    mean = random.normal(size=width) * 4
    shift = apart * random.normal(size=width)
    return tuple(
        scale * (mean + s * shift / 2 + random.normal(size=(n, width))) for s in (1.0, -1.0)
    )


def test_the_mean_difference_is_a_loop_over_pairs_and_dimensions():
    toward, other = some()
    sums = [0.0] * 5
    for x, y in zip(toward.tolist(), other.tolist(), strict=True):
        for i in range(5):
            sums[i] += x[i] - y[i]
    length = sum(one**2 for one in sums) ** 0.5
    found = baseline_direction("mean-difference", toward, other, 3)
    assert found.tolist() == pytest.approx([one / length for one in sums])
    assert baseline_direction("mean-difference", other, toward, 3).tolist() == (-found).tolist()


def newton(toward, other):
    """The weights by Newton's method in all dimensions, with an intercept: no span, no optimiser."""
    x = np.vstack([toward, other])
    x = x - x.mean(axis=0)
    x = x / np.sqrt((x**2).mean())
    y = np.r_[np.ones(len(toward)), np.zeros(len(other))]
    design = np.c_[x, np.ones(len(x))]
    penalty = np.diag([1.0] * x.shape[1] + [0.0])
    weights = np.zeros(x.shape[1] + 1)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (p - y) + penalty @ weights
        curve = (design.T * (p * (1 - p))) @ design + penalty
        weights = weights - np.linalg.solve(curve, slope)
    return weights[:-1]


@pytest.mark.parametrize("n, width", [(9, 5), (4, 30)])
def test_the_probe_is_that_of_newtons_method(n, width):
    toward, other = some(n, width, seed=width)
    np.testing.assert_allclose(probe(toward, other), newton(toward, other), atol=1e-6)


def test_the_probe_points_toward_its_variant_whatever_the_unit_of_the_stream():
    toward, other = some(seed=3)
    found = baseline_direction("probe", toward, other, 1)
    assert (toward - other).mean(axis=0) @ found > 0
    larger = baseline_direction("probe", 1000 * toward, 1000 * other, 1)
    np.testing.assert_allclose(larger, found, atol=1e-6)
    assert not np.allclose(
        found, baseline_direction("mean-difference", toward, other, 1), atol=0.05
    )


def test_neurons_are_the_dimensions_whose_means_differ_most():
    difference = np.array([0.1, -3.0, 2.0, -0.5, 2.5])
    assert strongest(difference, 2).tolist() == [0.0, -3.0, 0.0, 0.0, 2.5]
    toward, other = some(width=8, seed=5)
    found = baseline_direction("neurons", toward, other, 3)
    by_size = sorted(range(8), key=lambda i: -abs((toward - other)[:, i].mean()))
    assert set(found.nonzero()[0]) == set(by_size[:3])
    every = baseline_direction("neurons", toward, other, 100)
    np.testing.assert_allclose(every, baseline_direction("mean-difference", toward, other, 1))


@pytest.mark.parametrize("name", ["mean-difference", "probe", "neurons"])
def test_its_length_is_1_and_that_of_what_is_alike_is_0(name):
    toward, other = some(seed=8)
    assert np.linalg.norm(baseline_direction(name, toward, other, 2)) == pytest.approx(1.0)
    alike = np.tile(toward[:1], (4, 1))
    assert not baseline_direction(name, alike, alike, 2).any()
