"""Effect sizes and their intervals, against published values and by their definitions."""

import numpy as np
import pytest
from scipy import stats

from harness.stats.effects import d_z_interval, effects, hedges


@pytest.mark.parametrize("t", [29.0, 31.0, 500.0, 1e7])
def test_the_interval_of_a_nearly_constant_difference_has_its_tails(t):
    """By the definition, integrated over S; scipy's inverse hangs or clamps out there."""
    n = 8
    low, high = (end[0] * np.sqrt(n) for end in d_z_interval(np.array([t / np.sqrt(n)]), n))
    s = np.linspace(1e-6, 8, 400_001)
    density = stats.chi.pdf(s * np.sqrt(n - 1), n - 1) * np.sqrt(n - 1) * (s[1] - s[0])
    for end, share in ((low, 0.975), (high, 0.025)):
        below = (stats.norm.cdf(t * s - end) * density).sum()
        assert below == pytest.approx(share, abs=1e-4)
    assert low < t < high
    mirrored = d_z_interval(np.array([-t / np.sqrt(n)]), n)
    assert [mirrored[1][0], mirrored[0][0]] == pytest.approx(
        [-low / np.sqrt(n), -high / np.sqrt(n)]
    )


def test_one_unit_has_no_effect_size():
    found = effects([[1.0, 0.0], [2.0, 0.0]], None, ["a", "a"])
    assert found.flag.tolist() == ["too-few-units"] * 2
    assert np.isnan(found.d_z).all()


def test_effects_have_the_published_constants():
    low, high = d_z_interval(np.array([3 / np.sqrt(11)]), 11)
    assert [low[0], high[0]] == pytest.approx([0.180, 1.598], abs=5e-4)
    assert hedges(10) == pytest.approx(0.9227, abs=5e-5)


def test_the_noncentral_interval_puts_t_at_its_tails():
    for d, n in ((0.1, 8), (-1.3, 20), (4.0, 12)):
        low, high = d_z_interval(np.array([d]), n)
        t = d * np.sqrt(n)
        assert stats.nct.cdf(t, n - 1, low[0] * np.sqrt(n)) == pytest.approx(0.975, abs=1e-6)
        assert stats.nct.cdf(t, n - 1, high[0] * np.sqrt(n)) == pytest.approx(0.025, abs=1e-6)


def test_effects_are_their_formulas_computed_by_hand():
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
