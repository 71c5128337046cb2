"""Many units of sparse data: the same numbers as of dense data, which are held and counted another way."""

import numpy as np
import pytest
from scipy import sparse

from harness.stats import effects, mean_interval, paired_max_t
from harness.stats import feature_blocks as blocks
from harness.stats.sign_flips import MOST_GROUPED, sign_flips
from harness.stats.sparse_sums import SparseSums
from harness.stats.unit_scores import sum_scores

UNITS = MOST_GROUPED + 30
FLIPS = 300


def data(features=12, seed=0, pairs=UNITS + 50):
    random = np.random.default_rng(seed)
    shape = pairs, features
    active = random.random(shape) < np.linspace(0, 0.4, features)
    x, y = (np.round(random.exponential(size=shape), 1) * active for _ in range(2))
    x[:, -1] += 0.3 * (x[:, -1] > 0)
    return x, y, np.arange(pairs) % UNITS


@pytest.mark.parametrize("statistic", ["mean", "signed-rank", "mcnemar", "pratt+mcnemar"])
@pytest.mark.parametrize("alternative", ["two-sided", "less"])
@pytest.mark.parametrize("step_down", [True, False])
def test_sparse_and_dense_data_have_the_same_test(statistic, alternative, step_down):
    x, y, units = data()
    how = {"statistic": statistic, "alternative": alternative, "step_down": step_down}
    dense = paired_max_t(x, y, units, flips=FLIPS, seed=3, **how)
    thin = paired_max_t(sparse.csc_array(x), sparse.csr_array(y), units, flips=FLIPS, seed=3, **how)
    assert thin.p_adjusted.tolist() == dense.p_adjusted.tolist()
    assert thin.p_marginal.tolist() == dense.p_marginal.tolist()
    assert thin.statistic.tolist() == dense.statistic.tolist()
    assert thin.n_flips == dense.n_flips == FLIPS


def test_p_is_counted_flip_by_flip_of_signed_ranks_that_are_added_up():
    """Of every flip, drawn as `Flips` draws them, the largest |u| over features that are no stronger."""
    x, y, units = data(features=4, seed=1)
    found = paired_max_t(
        sparse.csc_array(x), sparse.csc_array(y), units, statistic="mcnemar", flips=FLIPS, seed=5
    )
    words = np.random.default_rng(5).integers(0, 2**64, (FLIPS, UNITS // 64 + 1), np.uint64)
    signs = np.array(
        [[1 - 2 * (int(row[i // 64]) >> i % 64 & 1) for i in range(UNITS)] for row in words]
    )
    sums = np.zeros((UNITS, 4))
    for pair, unit in enumerate(units):
        sums[unit] += (x[pair] > 0).astype(int) - (y[pair] > 0)
    scale = [max(1, sum(v * v for v in column)) ** 0.5 for column in sums.T]
    u = [sum(column) / s for column, s in zip(sums.T, scale, strict=True)]
    order = sorted(range(4), key=lambda f: abs(u[f]))
    adjusted = {}
    for place, f in enumerate(order):
        weaker = order[: place + 1]
        hits = sum(
            max(abs(flip @ sums[:, g]) / scale[g] for g in weaker) >= abs(u[f]) - 1e-9
            for flip in signs.astype(float)
        )
        adjusted[f] = (hits + 1) / (FLIPS + 1)
    highest = 0.0
    for f in order[::-1]:
        highest = max(highest, adjusted[f])
        if scale[f] > 1:  # a feature that never differs has p 1, and no part
            assert found.p_adjusted[f] == pytest.approx(highest)


def test_flips_are_those_of_the_seed_however_many_are_drawn_at_once():
    flips = sign_flips(UNITS, how=50, seed=2)
    for rows in (1, 7, 50):
        assert np.array_equal(np.concatenate(list(flips.blocks(rows))), flips.signs)


def test_only_sums_that_are_not_zero_are_held():
    x, y, units = data()
    scores = sum_scores(sparse.csc_array(x), sparse.csc_array(y), units, "mcnemar")
    assert isinstance(scores, SparseSums)
    assert scores.values.dtype == np.int32
    per_unit = np.zeros((UNITS, x.shape[1]))
    np.add.at(per_unit, units, (x > 0).astype(int) - (y > 0))
    assert scores.values.shape == (1, np.count_nonzero(per_unit))
    assert scores.start[-1] == scores.values.shape[1]


def test_blocks_of_features_change_no_bit(monkeypatch):
    x, y, units = data(features=7)
    whole = effects(x, y, units), mean_interval(x - y, units), paired_max_t(x, y, units, flips=20)
    monkeypatch.setattr(blocks, "HELD", 3 * len(x))  # three features a block
    parts = effects(sparse.csc_array(x), sparse.csc_array(y), units)
    means = mean_interval(sparse.csc_array(x - y), units)
    test = paired_max_t(x, y, units, flips=20)
    assert len(list(blocks.feature_blocks(*x.shape))) == 3
    for before, after in zip(whole, (parts, means, test), strict=True):
        for name, value in vars(before).items():
            np.testing.assert_array_equal(getattr(after, name), value, err_msg=name)
