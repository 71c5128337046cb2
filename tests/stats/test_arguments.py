"""Arguments of the statistics: what is wrong with one is said with its name and the place."""

import numpy as np
import pytest
from scipy import sparse

from harness.stats.control_ranks import control_rank_p
from harness.stats.effects import effects
from harness.stats.equivalence import equivalence
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t
from harness.stats.multiplicity import fdr, hierarchical_fdr
from harness.stats.power import effective_pairs, minimum_detectable, power, units_needed
from harness.stats.synergy import synergy


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
        (lambda: hierarchical_fdr([0.1, 0.1], [1, np.nan]), "layers: p 1 has none"),
    ],
)  # fmt: skip
def test_bad_input_names_the_argument_and_the_place(call, said):
    with pytest.raises(ValueError, match=said):
        call()
