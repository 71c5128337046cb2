"""Intervals, effect sizes, equivalence and controls against published values and other libraries."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from harness.stats.effects import d_z_interval, effects, hedges
from harness.stats.equivalence import equivalence
from harness.stats.intervals import mean_interval
from harness.stats.matched_controls import control_rank_p, matched_sets

RANDOM = np.random.default_rng(0)
UNITS = np.repeat(np.arange(9), [3, 5, 2, 7, 4, 4, 1, 6, 3])
VALUES = RANDOM.normal(0.5, 1, 9)[UNITS] + RANDOM.normal(size=len(UNITS))


def test_the_interval_is_statsmodels_cluster_jackknife():
    fit = sm.OLS(VALUES, np.ones_like(VALUES)).fit(
        cov_type="cluster-crv3", cov_kwds={"groups": UNITS}, use_t=True
    )
    found = mean_interval(np.column_stack([VALUES, -2 * VALUES]), UNITS)
    assert found.mean[0] == pytest.approx(fit.params[0], abs=1e-10)
    assert found.error[0] == pytest.approx(fit.bse[0], abs=1e-10)
    assert [found.low[0], found.high[0]] == pytest.approx(fit.conf_int()[0].tolist(), abs=1e-10)
    assert [found.high[1], found.low[1]] == pytest.approx((-2 * fit.conf_int()[0]).tolist())


def test_published_constants():
    low, high = d_z_interval(np.array([3 / np.sqrt(11)]), 11)
    assert [low[0], high[0]] == pytest.approx([0.180, 1.598], abs=5e-4)
    assert hedges(10) == pytest.approx(0.9227, abs=5e-5)


def test_the_noncentral_interval_puts_t_at_its_tails():
    for d, n in ((0.1, 8), (-1.3, 20), (4.0, 12)):
        low, high = d_z_interval(np.array([d]), n)
        t = d * np.sqrt(n)
        assert stats.nct.cdf(t, n - 1, low[0] * np.sqrt(n)) == pytest.approx(0.975, abs=1e-6)
        assert stats.nct.cdf(t, n - 1, high[0] * np.sqrt(n)) == pytest.approx(0.025, abs=1e-6)


def test_effects_by_hand():
    x = np.array([[3.0], [1.0], [4.0], [0.0]])
    y = np.array([[1.0], [2.0], [1.0], [0.0]])
    found = effects(x, y, np.arange(4))
    d = np.array([2.0, -1.0, 3.0, 0.0])
    assert found.d_z[0] == pytest.approx(d.mean() / d.std(ddof=1))
    average = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    assert found.g_av[0] == pytest.approx(hedges(3) * d.mean() / average)
    assert found.rank_biserial[0] == pytest.approx((2 + 3 - 1) / (2 + 3 + 1))
    assert found.common_language[0] == pytest.approx(2 / 4 + 0.5 / 4)
    assert found.flag[0] == ""


def test_what_has_no_effect_size_is_flagged_and_never_zero():
    x = np.column_stack([np.ones(5), np.zeros(5), np.full(5, 0.1), np.arange(5.0)])
    found = effects(x, np.zeros_like(x), np.arange(5))
    assert found.flag.tolist() == ["constant", "all-zero", "constant", ""]
    assert np.isnan(found.d_z[:3]).all()
    assert np.isnan(found.d_z_low[:3]).all()
    assert np.isnan(found.common_language[1])
    assert found.common_language[0] == 1


def test_equivalence_is_statsmodels_paired_tost_where_nothing_is_clustered():
    d = np.random.default_rng(1).normal(0.1, 0.5, 30)
    found = equivalence(d, np.arange(30), margin=0.4)
    p, _, _ = ttost_paired(d, np.zeros(30), -0.4, 0.4)
    assert found.p == pytest.approx(p, abs=1e-10)
    assert found.low < d.mean() < found.high


def test_equivalence_is_not_shown_by_scarce_data():
    d = np.random.default_rng(2).normal(0, 1, 4)
    assert equivalence(d, np.arange(4), margin=0.2).p > 0.05
    assert equivalence(np.zeros(4), np.arange(4), margin=0.2).p == 0
    with pytest.raises(ValueError, match="margin"):
        equivalence(d, np.arange(4), margin=0)


def test_rank_among_controls():
    assert control_rank_p(5.0, np.arange(4.0)) == 1 / 5
    assert control_rank_p(3.0, np.arange(4.0)) == 2 / 5
    assert control_rank_p(-1.0, np.arange(4.0)) == 1


def test_controls_match_layer_and_profile_and_never_repeat():
    random = np.random.default_rng(3)
    layers = np.repeat([0, 1], 200)
    profile = random.normal(size=(400, 3))
    targets = np.array([5, 6, 300])
    drawn = matched_sets(targets, layers, profile, sets=40, seed=1, pool=10)
    assert drawn.shape == (40, 3)
    assert (layers[drawn] == layers[targets]).all()
    assert not np.isin(drawn, targets).any()
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    spread = profile / profile.std(axis=0)
    for i, target in enumerate(targets):
        own = np.flatnonzero((layers == layers[target]) & ~np.isin(np.arange(400), targets))
        distance = np.square(spread[own] - spread[target]).sum(axis=1)
        nearest = own[np.argsort(distance)[:10]]
        assert np.isin(drawn[:, i], nearest).all()
    assert np.array_equal(drawn, matched_sets(targets, layers, profile, sets=40, seed=1, pool=10))
    assert not np.array_equal(
        drawn, matched_sets(targets, layers, profile, sets=40, seed=2, pool=10)
    )


def test_a_layer_with_too_few_features_is_said():
    with pytest.raises(ValueError, match="layer 0 has too few"):
        matched_sets(np.array([0, 1, 2]), np.zeros(5, int), np.zeros((5, 1)), sets=2, seed=0)
