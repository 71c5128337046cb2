"""Power and what a design can detect, against references, and where a peer goes wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import tt_solve_power

from harness.stats.power import effective_pairs, minimum_detectable, power, units_needed


def test_power_is_the_noncentral_t():
    for d_z, units, alpha in ((0.5, 20, 0.05), (0.3, 50, 0.001), (1.2, 3, 0.05), (0.8, 2, 0.05)):
        shift, nu = d_z * np.sqrt(units), units - 1
        critical = stats.t.isf(alpha / 2, nu)
        reference = stats.nct.sf(critical, nu, shift) + stats.nct.cdf(-critical, nu, shift)
        assert power(d_z, units, alpha=alpha) == pytest.approx(reference, abs=1e-8)
        assert power(-d_z, units, alpha=alpha) == pytest.approx(reference, abs=1e-8)
        assert power(0, units, alpha=alpha) == pytest.approx(alpha, abs=1e-10)


def test_power_at_a_tiny_alpha_is_simulated_where_statsmodels_is_wrong():
    """z and chi-square drawn apart, 400,000 times; statsmodels has nan, or another number, here."""
    random = np.random.default_rng(0)
    d_z, units, alpha = 0.6, 50, 1e-5
    t = (random.normal(size=400_000) + d_z * np.sqrt(units)) / np.sqrt(
        random.chisquare(units - 1, 400_000) / (units - 1)
    )
    share = (np.abs(t) >= stats.t.isf(alpha / 2, units - 1)).mean()
    ours = power(d_z, units, alpha=alpha)
    assert ours == pytest.approx(share, abs=4 * np.sqrt(0.25 / 400_000))
    theirs = tt_solve_power(d_z, units, alpha)
    assert not abs(theirs - ours) < 0.01


def test_power_of_two_and_three_units_at_tiny_alpha():
    """References by mpmath, 30 digits."""
    assert power(100, 2, alpha=1e-5) == pytest.approx(0.001772, abs=2e-6)
    assert power(1e5, 2, alpha=1e-6) == pytest.approx(0.1758, abs=2e-4)
    assert power(100, 3, alpha=1e-6) == pytest.approx(0.02956, abs=2e-5)


@pytest.mark.parametrize(
    "units, one, many", [(11, 0.94, 3.31), (50, 0.40, 0.88), (200, 0.20, 0.40)]
)
def test_minimum_detectable_effects_are_the_published_ones(units, one, many):
    assert minimum_detectable(units) == pytest.approx(one, abs=0.005)
    assert minimum_detectable(units, alpha=0.05 / 16384) == pytest.approx(many, abs=0.005)


@given(st.integers(3, 200), st.sampled_from([0.05, 1e-4]))
def test_the_detectable_effect_has_the_power_it_is_named_for(units, alpha):
    assert power(minimum_detectable(units, alpha=alpha), units, alpha=alpha) == pytest.approx(
        0.8, abs=1e-6
    )


@pytest.mark.parametrize("d_z", [0.2, 0.5, 2.0])
def test_the_units_needed_are_the_fewest(d_z):
    needed = units_needed(d_z)
    assert power(d_z, needed) >= 0.8 > power(d_z, needed - 1)


def test_clustered_pairs_are_worth_less():
    assert effective_pairs(200, 10, 0.5) == pytest.approx(200 / 5.5)
    assert effective_pairs(200, 10, 0.0) == 200
