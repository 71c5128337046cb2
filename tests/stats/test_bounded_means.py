"""Betting intervals: against products of capital over a grid of means, and in how many samples they hold it."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.stats import bounded_mean_interval, mean_interval


def slow_interval(x, alpha):
    """Every candidate mean of a grid, its capital multiplied bet by bet, in either direction."""
    kept = []
    for m in (i / 1000 for i in range(1001)):
        up = down = 1.0
        most = 0.0
        mean_sum, square_sum, spread = 0.5, 0.25, 0.25
        for i, value in enumerate(x):
            stake = math.sqrt(2 * math.log(2 / alpha) / (len(x) * spread))
            up *= 1 + (min(stake, 0.5 / m) if m > 0 else stake) * (value - m)
            down *= 1 - (min(stake, 0.5 / (1 - m)) if m < 1 else stake) * (value - m)
            most = max(most, up / 2, down / 2)
            mean_sum += value
            square_sum += (value - mean_sum / (i + 2)) ** 2
            spread = square_sum / (i + 2)
        if most < 1 / alpha:
            kept.append(m)
    return kept[0], kept[-1]


@pytest.mark.parametrize("n", [1, 6, 25, 80])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_interval_is_the_means_that_no_bet_rules_out(n, alpha):
    random = np.random.default_rng(n)
    for values in (random.random(n), random.random(n) < 0.1, random.random(n) ** 6, np.ones(n)):
        x = np.asarray(values, float)
        found = bounded_mean_interval(x, 0, 1, level=1 - alpha)
        assert found == pytest.approx(slow_interval(x, alpha), abs=1.1e-3)


def test_it_holds_the_mean_under_any_skew_where_the_t_interval_does_not():
    """One value in ten is far away: of twenty families none may be among those that were seen."""
    draws = {
        "rare": (lambda r, n: (r.random(n) < 0.1).astype(float), 0.1),
        "skewed": (lambda r, n: r.beta(0.2, 1.8, n), 0.1),
        "even": (lambda r, n: r.random(n), 0.5),
    }
    for n in (6, 20):
        for name, (draw, mean) in draws.items():
            random = np.random.default_rng(n)
            by_bets = by_t = 0
            for _ in range(400):
                x = draw(random, n)
                low, high = bounded_mean_interval(x, 0, 1)
                by_bets += low <= mean <= high
                interval = mean_interval(x, None)
                by_t += interval.low[0] <= mean <= interval.high[0]
            assert stats.binomtest(by_bets, 400, 0.95, "less").pvalue > 0.001, (name, n)
            if name == "rare":
                assert by_t / 400 < 0.9


def test_it_narrows_as_there_is_more():
    random = np.random.default_rng(0)
    x = random.random(2000) * 0.2 + 0.4
    widths = [np.diff(bounded_mean_interval(x[:n], 0, 1))[0] for n in (5, 50, 500, 2000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.02


def test_it_is_in_the_unit_of_the_values_and_units_count_alike():
    x = np.random.default_rng(1).random(12)
    low, high = bounded_mean_interval(x, 0, 1)
    shifted = bounded_mean_interval(10 * x - 3, -3, 7)
    assert shifted == pytest.approx((10 * low - 3, 10 * high - 3))
    units = [f"f{i:02}" for i in range(12)]
    twice = bounded_mean_interval(np.r_[x, x, x[:1]], 0, 1, [*units, *units, "f00"])
    assert twice == pytest.approx((low, high))
    assert bounded_mean_interval(1 - x, 0, 1) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    "wrong, name",
    [
        ({"values": [0.5, 1.5]}, "values: 1.5 at 1 is not between 0.0 and 1.0"),
        ({"low": 1.0}, "high: 1.0 is not above low, 1.0"),
        ({"level": 1.0}, "level"),
        ({"units": ["a"]}, "units"),
        ({"values": [np.nan, 0.5]}, "values: nan at 0"),
        ({"values": []}, "units: 0 units"),
    ],
)
def test_what_is_wrong_is_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        bounded_mean_interval(**({"values": [0.5, 0.5], "low": 0.0, "high": 1.0} | wrong))
