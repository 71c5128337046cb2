"""Intervals of clustered means, against statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm

from harness.stats.intervals import mean_interval

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
