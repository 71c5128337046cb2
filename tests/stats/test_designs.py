"""Multiplicity, power, sets and arguments: references, published figures, and where peers go wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import tt_solve_power

from harness.stats.effects import d_z_interval, effects
from harness.stats.equivalence import equivalence
from harness.stats.intervals import mean_interval
from harness.stats.matched_controls import control_rank_p
from harness.stats.max_t import paired_max_t
from harness.stats.multiplicity import fdr, hierarchical_fdr, simes
from harness.stats.power import effective_pairs, minimum_detectable, power, units_needed
from harness.stats.synergy import synergy

P = st.lists(
    st.sampled_from([0.0001, 0.001, 0.01, 0.02, 0.04, 0.2, 0.5, 1.0]), min_size=1, max_size=12
)


@given(P, st.sampled_from(["bh", "by"]))
def test_fdr_is_statsmodels(p, method):
    reference = multipletests(p, method=f"fdr_{method}")[1]
    assert fdr(p, method=method) == pytest.approx(reference, abs=1e-10)


def test_an_untested_p_changes_no_other_where_statsmodels_loses_all():
    p = [0.01, np.nan, 0.04]
    assert fdr(p)[[0, 2]] == pytest.approx(fdr([0.01, 0.04]))
    assert np.isnan(fdr(p)[1])
    assert np.isnan(multipletests(p, method="fdr_bh")[1]).all()


@given(P)
def test_simes_is_its_definition(p):
    ordered = np.sort(p)
    assert simes(p) == pytest.approx(min(1, (len(p) * ordered / np.arange(1, len(p) + 1)).min()))


def test_layers_first_then_features():
    p = np.array([0.001, 0.004, 0.9, 0.5, 0.6, 0.7, 0.012, 0.8, 0.9])
    layers = np.array([4, 4, 4, 9, 9, 9, 2, 2, 2])
    found = hierarchical_fdr(p, layers, q=0.05)
    assert found.layers.tolist() == [2, 4, 9]
    assert found.p_layer == pytest.approx([0.036, 0.003, 0.7])
    assert found.p_layer_adjusted == pytest.approx([0.054, 0.009, 0.7])
    assert found.selected.tolist() == [False, True, False]
    # Inside the one selected layer of three at .05 / 3: 3 * .001 and 3 / 2 * .004 pass.
    assert np.flatnonzero(found.rejected).tolist() == [0, 1]


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


@pytest.mark.parametrize(
    "units, one, many", [(11, 0.94, 3.31), (50, 0.40, 0.88), (200, 0.20, 0.40)]
)
def test_minimum_detectable_effects(units, one, many):
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


def test_synergy_is_what_the_singles_do_not_add_up_to():
    random = np.random.default_rng(1)
    units = np.repeat(np.arange(12), 4)
    singles = random.normal(1, 0.2, (3, 48))
    more = synergy(singles.sum(axis=0) + 0.5 + random.normal(0, 0.1, 48), singles, units)
    assert more.low < 0.5 < more.high
    assert more.low > 0
    assert more.p == 2 / 2**12
    same = synergy(singles.sum(axis=0) + random.normal(0, 0.1, 48), singles, units)
    assert same.low < 0 < same.high
    with pytest.raises(ValueError, match="singles: has shape"):
        synergy(singles[0], singles[0], units)


def test_an_exact_sum_is_no_synergy():
    found = synergy([0.6] * 10, [[0.1] * 10, [0.2] * 10, [0.3] * 10], range(10))
    assert (found.mean, found.p) == (0.0, 1.0)


@pytest.mark.parametrize("t", [29.0, 31.0, 500.0, 1e7])
def test_the_interval_of_a_nearly_constant_difference(t):
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


@pytest.mark.parametrize("scale", [1e-200, 1e-170, 1e160, 1e300])
@pytest.mark.parametrize("statistic", ["mean", "pratt+mcnemar"])
def test_extreme_scales_change_nothing(scale, statistic):
    random = np.random.default_rng(3)
    x, y = np.abs(random.normal(1, 1, (20, 3))), np.abs(random.normal(0, 1, (20, 3)))
    factor = np.array([1.0, scale, 1.0])
    plain = paired_max_t(x, y, statistic=statistic)
    scaled = paired_max_t(x * factor, y * factor, statistic=statistic)
    assert np.array_equal(plain.p_adjusted, scaled.p_adjusted)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_an_all_zero_column_changes_nobodys_p(alternative):
    d = np.array([-1, -2, 0.5, -0.3, -1, 0.2])[:, None]
    alone = paired_max_t(d, statistic="mean", alternative=alternative)
    beside = paired_max_t(np.hstack([d, d * 0]), statistic="mean", alternative=alternative)
    assert alone.p_adjusted[0] == alone.p_marginal[0]
    assert beside.p_adjusted.tolist() == [alone.p_adjusted[0], 1.0]


def test_no_spread_is_flagged_where_equivalence_is_asked():
    assert equivalence([0.0, 0.0], [0, 1], margin=0.3).flag == "constant"
    assert equivalence([0.0, 0.1], [0, 1], margin=0.3).flag == ""


def test_power_of_two_and_three_units_at_tiny_alpha():
    """References by mpmath, 30 digits."""
    assert power(100, 2, alpha=1e-5) == pytest.approx(0.001772, abs=2e-6)
    assert power(1e5, 2, alpha=1e-6) == pytest.approx(0.1758, abs=2e-4)
    assert power(100, 3, alpha=1e-6) == pytest.approx(0.02956, abs=2e-5)


def test_one_unit_has_no_effect_size():
    found = effects([[1.0, 0.0], [2.0, 0.0]], None, ["a", "a"])
    assert found.flag.tolist() == ["too-few-units"] * 2
    assert np.isnan(found.d_z).all()


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: power(1, 10, alpha=0), "alpha: 0 is not between 0 and 1"),
        (lambda: power(1, 1), "units: 1, an integer of at least 2"),
        (lambda: units_needed(0), "d_z: 0 is not positive"),
        (lambda: minimum_detectable(9, power_wanted=1), "power_wanted: 1 is not between"),
        (lambda: equivalence([1, 2], [0, 1], margin=1, alpha=1.5), "alpha: 1.5"),
        (lambda: equivalence([1, 2], [0, 1], margin=float("inf")), "margin: inf"),
        (lambda: mean_interval([1, 2], [0, 1], level=95), "level: 95"),
        (lambda: mean_interval([1, np.nan], [0, 1]), "differences: nan at pair 1, feature 0"),
        (lambda: effects([1, np.inf], None, [0, 1]), "x: inf at pair 1, feature 0"),
        (lambda: fdr([0.1, 1.2]), "p: 1.2 at 1 is not between"),
        (lambda: fdr([0.1], method="x"), "method: unknown 'x'"),
        (lambda: hierarchical_fdr([0.1], [1, 2]), "layers: has shape"),
        (lambda: hierarchical_fdr([0.1], [1], q=0), "q: 0"),
        (lambda: effective_pairs(10, 2, 2), "correlation: 2"),
        (lambda: paired_max_t([1.0, 2.0], units=["a", None]), "units: pair 1 has none"),
        (lambda: paired_max_t([1.0, 2.0], units=[1.0, np.nan]), "units: pair 1 has none"),
        (lambda: paired_max_t([1.0, 2.0], flips=0), "flips: 0 random flips"),
        (lambda: paired_max_t([1.0, 2.0], flips="all"), "flips: unknown 'all'"),
        (lambda: paired_max_t(np.ones(30), flips="full"), "flips: the full group of 30"),
        (lambda: paired_max_t(["a", "b"]), "x: holds"),
        (lambda: paired_max_t([[1.0], [1.0, 2.0]]), "x: "),
        (lambda: paired_max_t([1.0, 2.0], units=["a", float("nan")]), "units: pair 1 has none"),
        (lambda: paired_max_t([1.0, 2.0], units=np.array(["a", 1], object)), "units: names of several"),
        (lambda: paired_max_t([1.0, 2.0], seed=-1), "seed: -1"),
        (lambda: paired_max_t([1.0, 2.0], flips=[1]), "flips: "),
        (lambda: paired_max_t([1.0, 2.0], statistic=""), "statistic: unknown ''"),
        (lambda: paired_max_t(np.ma.masked_equal([1.0, 2.0], 1)), "x: holds masked"),
        (lambda: paired_max_t(sparse.csr_array([[1j], [1j]])), "x: holds complex"),
        (lambda: effects(np.ones(3), np.ones(2), [0, 1, 2]), "y: has shape"),
        (lambda: effects(np.ones(3), None, ["a"] * 2), "units: has shape"),
        (lambda: equivalence([1, 2], [0, 1], margin=1, alpha=0.5), "alpha: 0.5 is not below"),
        (lambda: synergy([1.0, np.nan], np.ones((2, 2)), [0, 1]), "joint: nan at pair 1"),
        (lambda: control_rank_p(np.nan, [1.0]), "target: nan"),
        (lambda: control_rank_p(1.0, [np.nan]), "controls: "),
        (lambda: control_rank_p(1.0, []), "controls: "),
        (lambda: units_needed(-1, two_sided=False), "d_z: -1"),
        (lambda: power(np.nan, 10), "d_z: nan"),
        (lambda: hierarchical_fdr([0.1, 0.1], [1, np.nan]), "layers: every p needs"),
    ],
)  # fmt: skip
def test_bad_input_names_the_argument_and_the_place(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_wilcoxon_auto_is_no_reference_from_14_pairs_with_ties():
    """Exact by enumeration here; scipy changes to a normal approximation without a word."""
    d = np.array([1.0, 1, 2, 2, -1, 3, 1, 2, 2, 1, -2, 1, 3, 0, 0])
    exact = paired_max_t(d, statistic="signed-rank").p_marginal[0]
    theirs = stats.wilcoxon(d, zero_method="pratt").pvalue
    signs = np.array(np.meshgrid(*[[-1, 1]] * 13)).reshape(13, -1)
    ranks = stats.rankdata(np.abs(d))[d != 0]
    null = np.abs(ranks @ signs)
    observed = abs((ranks * np.sign(d[d != 0])).sum())
    assert exact == pytest.approx((null >= observed - 1e-9).mean(), abs=1e-12)
    assert abs(theirs - exact) > 1e-4
