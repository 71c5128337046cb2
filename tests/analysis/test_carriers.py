"""The one unit that carries a mean is found as by leaving each out in turn, in less than its time."""

import time

import numpy as np
import pytest

from harness.analysis.mean_verdicts import _carrier
from harness.analysis.units import Units
from harness.stats import mean_interval
from harness.stats.intervals import without_each


def left_out(values, of, level):
    """The ends without each unit, one after the other."""
    ends = []
    for unit in np.unique(of):
        rest = mean_interval(values[of != unit], of[of != unit], level=level)
        ends.append((rest.low[0], rest.high[0]))
    return np.array(ends).T


def slow_carrier(values, of, than, level):
    low, high = left_out(values, of, level)
    wrong = ~(low > than) if values.mean() > than else ~(high < than)
    return str(np.unique(of)[wrong][0]) if wrong.any() else ""


def drawn(seed, n_units, most):
    rng = np.random.default_rng(seed)
    of = np.repeat([f"u{i:03}" for i in range(n_units)], rng.integers(1, most + 1, n_units))
    values = (
        rng.standard_t(2, len(of))
        + rng.normal(0.6, 0.3, n_units)[np.unique(of, return_inverse=True)[1]]
    )
    return values, of


@pytest.mark.parametrize("n_units, most", [(3, 1), (5, 4), (12, 1), (30, 6)])
def test_intervals_without_each_unit_are_those_of_the_others(n_units, most):
    for seed in range(20):
        values, of = drawn(seed, n_units, most)
        found = np.array(without_each(values, np.unique(of, return_inverse=True)[1], level=0.9))
        told = ~np.isnan(found)
        assert told.all() == (4 * np.unique(of, return_counts=True)[1].max() <= len(of))
        assert np.allclose(found[told], left_out(values, of, 0.9)[told], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_units, most", [(3, 1), (5, 4), (12, 1), (30, 6)])
def test_the_first_unit_that_carries_a_mean_is_named(n_units, most):
    seen = set()
    for seed in range(60):
        values, of = drawn(seed, n_units, most)
        for sign in (1, -1):
            units = Units(of, of)
            found = _carrier(sign * values, units, sign * 0.1, 0.1)
            assert found == slow_carrier(sign * values, of, sign * 0.1, 0.9)
            seen.add(bool(found))
    assert seen == {True, False} or n_units == 3


def test_ten_thousand_units_take_no_longer_than_some_intervals():
    values, of = np.random.default_rng(0).normal(1, 1, 10_000), np.arange(10_000).astype(str)
    began = time.process_time()
    assert _carrier(values, Units(of, of), 0.0, 0.05) == ""
    assert time.process_time() - began < 1
