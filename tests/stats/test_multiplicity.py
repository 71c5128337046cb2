"""False discovery rates, against statsmodels and by their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.stats.multiplicity import fdr, hierarchical_fdr, holm, simes

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


def test_features_are_tested_within_the_layers_that_are_selected_first():
    p = np.array([0.001, 0.004, 0.9, 0.5, 0.6, 0.7, 0.012, 0.8, 0.9])
    layers = np.array([4, 4, 4, 9, 9, 9, 2, 2, 2])
    found = hierarchical_fdr(p, layers, q=0.05)
    assert found.layers.tolist() == [2, 4, 9]
    assert found.p_layer == pytest.approx([0.036, 0.003, 0.7])
    assert found.p_layer_adjusted == pytest.approx([0.054, 0.009, 0.7])
    assert found.selected.tolist() == [False, True, False]
    # Inside the one selected layer of three at .05 / 3: 3 * .001 and 3 / 2 * .004 pass.
    assert np.flatnonzero(found.rejected).tolist() == [0, 1]


def test_holm_is_statsmodels_and_leaves_out_what_was_not_tested():
    random = np.random.default_rng(0)
    for n in (1, 2, 7, 30):
        p = random.random(n) ** 3
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
        np.testing.assert_allclose(holm([np.nan, *p, np.nan])[1:-1], holm(p))
    assert np.isnan(holm([0.1, np.nan])[1])
    assert holm([]).shape == (0,)
