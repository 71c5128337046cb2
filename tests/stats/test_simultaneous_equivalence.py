"""Simultaneous equivalence against intervals that are found by bisection, flip by flip."""

import itertools

import numpy as np
import pytest
from scipy import stats

from harness.stats import effects, equivalence, simultaneous_equivalence


def slow_intervals(d, alpha):
    """Simultaneous intervals of each column's d_z: every flip in a loop, each end by bisection."""
    n, width = d.shape
    errors = [[x - sum(column) / n for x in column] for column in d.T]
    largest = []
    for signs in itertools.product((1, -1), repeat=n):
        ts = []
        for error in errors:
            u = (
                sum(s * x for s, x in zip(signs, error, strict=True))
                / sum(x * x for x in error) ** 0.5
            )
            ts.append(abs(u) * ((n - 1) / (n - u * u)) ** 0.5)
        largest.append(max(ts))
    # The +1 stands for the data themselves.
    reach = sorted(largest, reverse=True)[int(alpha * (len(largest) + 1) + 1e-9) - 1]
    tail = min(alpha / 2, stats.t.sf(reach, n - 1))

    def end(t, below):
        low, high = -60.0, 60.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if stats.nct.cdf(t, n - 1, middle) > below else (low, middle)
        return low / n**0.5

    t = [column.mean() / column.std(ddof=1) * n**0.5 for column in d.T]
    return np.array([[end(t[f], 1 - tail), end(t[f], tail)] for f in range(width)])


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("margin", [0.9, 1.6, 2.4])
def test_a_p_is_at_most_alpha_where_the_simultaneous_interval_is_inside_or_outside(alpha, margin):
    random = np.random.default_rng(4)
    d = random.normal(size=(9, 12)) + np.linspace(-3, 3, 12)
    low, high = slow_intervals(d, alpha).T
    found = simultaneous_equivalence(d, margin=margin)
    np.testing.assert_array_equal(found.p_inside <= alpha, (-margin < low) & (high < margin))
    np.testing.assert_array_equal(found.p_outside <= alpha, (low > margin) | (high < -margin))


def test_among_these_are_features_inside_outside_and_neither():
    d = np.random.default_rng(4).normal(size=(9, 12)) + np.linspace(-3, 3, 12)
    found = simultaneous_equivalence(d, margin=1.6)
    assert (found.p_inside <= 0.2).any()
    assert (found.p_outside <= 0.2).any()
    assert ((found.p_inside > 0.2) & (found.p_outside > 0.2)).any()


def test_a_feature_among_others_is_never_surer_than_alone():
    d = np.random.default_rng(1).normal(size=(10, 30))
    together = simultaneous_equivalence(d, margin=1.0)
    for f in range(30):
        alone = simultaneous_equivalence(d[:, [f]], margin=1.0)
        assert together.p_inside[f] >= alone.p_inside[0] - 1e-12
        # Two-sided, and so never below twice the p of the one-sided test of an effect size.
        t = abs(effects(d[:, [f]], None, None).d_z[0]) * 10**0.5
        assert alone.p_inside[0] >= min(1, 2 * stats.nct.cdf(t, 9, 10**0.5)) - 1e-12


def test_pairs_of_a_unit_are_one_value():
    d = np.random.default_rng(2).normal(size=(24, 5))
    units = np.repeat(np.arange(8), 3)
    means = d.reshape(8, 3, 5).mean(axis=1)
    clustered = simultaneous_equivalence(d + 1, np.ones_like(d), units, margin=0.7)
    np.testing.assert_allclose(
        clustered.p_inside, simultaneous_equivalence(means, margin=0.7).p_inside
    )


def test_what_never_differs_is_inside_and_what_never_varies_is_neither():
    d = np.random.default_rng(3).normal(size=(12, 3))
    d[:, 1], d[:, 2] = 0.0, 0.1
    found = simultaneous_equivalence(d, margin=2.0)
    assert found.flag.tolist() == ["", "all-zero", "constant"]
    assert found.p_inside[1] < 0.01
    assert (found.p_outside[1], found.p_inside[2], found.p_outside[2]) == (1.0, 1.0, 1.0)
    # Neither has an error that others would have to be corrected for.
    assert found.p_inside[0] == simultaneous_equivalence(d[:, [0]], margin=2.0).p_inside[0]


def test_the_margin_is_of_standard_deviations_whatever_the_unit():
    d = np.random.default_rng(5).normal(size=(12, 4))
    np.testing.assert_allclose(
        simultaneous_equivalence(d * 1e9, margin=1.0).p_inside,
        simultaneous_equivalence(d, margin=1.0).p_inside,
    )
    assert equivalence(d[:, 0] * 1e9, np.arange(12), margin=1.0).p > 0.5  # which is of nats


def test_a_wrong_argument_is_named():
    with pytest.raises(ValueError, match="margin"):
        simultaneous_equivalence(np.zeros((4, 1)), margin=0)
    with pytest.raises(ValueError, match="units"):
        simultaneous_equivalence(np.zeros((1, 1)), margin=1)
