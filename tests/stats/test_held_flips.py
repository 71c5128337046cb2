"""What the flips of many units hold at once does not grow with the units."""

import tracemalloc

import numpy as np
import pytest

from harness.stats import flip_counts, paired_max_t


def test_one_mean_of_many_units_is_tested_in_little_memory():
    values = np.random.default_rng(0).normal(0, 1, 2_000)
    tracemalloc.start()
    paired_max_t(values, statistic="mean", flips=20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 8 * flip_counts.HELD


@pytest.mark.parametrize("features", [1, 3])
def test_how_many_flips_are_held_decides_no_p(features, monkeypatch):
    values = np.random.default_rng(1).normal(0.02, 1, (700, features))
    whole = paired_max_t(values, statistic="mean", flips=999)
    monkeypatch.setattr(flip_counts, "HELD", 700 * 10)
    some = paired_max_t(values, statistic="mean", flips=999)
    assert np.array_equal(whole.p_marginal, some.p_marginal)
    assert np.array_equal(whole.p_adjusted, some.p_adjusted)
