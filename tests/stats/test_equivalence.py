"""Equivalence, against statsmodels where nothing is clustered."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from harness.stats.equivalence import equivalence


def test_no_spread_is_flagged_where_equivalence_is_asked():
    assert equivalence([0.0, 0.0], [0, 1], margin=0.3).flag == "constant"
    assert equivalence([0.0, 0.1], [0, 1], margin=0.3).flag == ""


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
