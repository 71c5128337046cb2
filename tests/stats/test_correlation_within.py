"""The intraclass correlation, against analyses of variance by statsmodels, and where there is none."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from harness.stats.correlation_within import intraclass_correlation


def by_anova(values, units):
    """By the table of statsmodels."""
    frame = pd.DataFrame({"y": values, "unit": units})
    squares = anova_lm(ols("y ~ C(unit)", frame).fit())["mean_sq"]
    between, within = squares["C(unit)"], squares["Residual"]
    sizes = [len(group) for _, group in frame.groupby("unit")]
    size = (sum(sizes) - sum(m * m for m in sizes) / sum(sizes)) / (len(sizes) - 1)
    return (between - within) / (between + (size - 1) * within)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 2, 3), (7, 1, 1, 4), (3,) * 8])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_it_is_that_of_an_analysis_of_variance(sizes, shift):
    random = np.random.default_rng(sum(sizes))
    units = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    for spread in (0.0, 1.0, 3.0):
        values = shift + random.normal(size=len(units))
        values += np.repeat(spread * random.normal(size=len(sizes)), sizes)
        order = random.permutation(len(units))
        found = intraclass_correlation(values[order], units[order])
        assert found == pytest.approx(by_anova(values, units), rel=1e-6, abs=1e-6)


def test_it_finds_the_correlation_that_there_is():
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(2000), random.integers(1, 8, 2000))
    for rho in (0.0, 0.3, 0.73):
        values = np.sqrt(rho) * random.normal(size=2000)[units]
        values += np.sqrt(1 - rho) * random.normal(size=len(units))
        assert intraclass_correlation(values, units) == pytest.approx(rho, abs=0.04)


def test_families_that_differ_more_within_than_between_are_below_zero():
    assert intraclass_correlation([1, -1, 1, -1], list("aabb")) == -1
    assert intraclass_correlation([1, 1, 2, 2], list("aabb")) == 1


@pytest.mark.parametrize(
    "values, units", [([1, 2, 3], "aaa"), ([1, 2, 3], "abc"), ([2.1] * 4, "aabb")]
)
def test_where_nothing_can_be_said_it_is_missing(values, units):
    assert np.isnan(intraclass_correlation(values, list(units)))


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="units: has shape"):
        intraclass_correlation([1, 2], ["a"])
    with pytest.raises(ValueError, match="values: nan"):
        intraclass_correlation([1, np.nan], ["a", "b"])
