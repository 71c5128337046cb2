"""Sets of features against the sum of their parts."""

import numpy as np
import pytest

from harness.stats.synergy import synergy


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
