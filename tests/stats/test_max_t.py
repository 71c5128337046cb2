"""The confirmatory test: exactness by enumeration, references, and what must always hold."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse, stats

from harness.stats import flip_counts as counts
from harness.stats import unit_scores as scores
from harness.stats.max_t import paired_max_t
from harness.stats.sign_flips import bch_codes, sign_flips
from harness.stats.signed_rank import pratt_scores
from harness.stats.unit_scores import ScoreSums, sum_scores

STATISTICS = ["mean", "signed-rank", "mcnemar", "pratt+mcnemar"]
ACTIVATIONS = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 2.0, 3.5])  # tied and zero-heavy


@st.composite
def paired(draw, most_units=6):
    units = draw(st.integers(2, most_units))
    pairs = draw(st.integers(units, 2 * units))
    features = draw(st.integers(1, 4))
    x, y = (draw(arrays(float, (pairs, features), elements=ACTIVATIONS)) for _ in range(2))
    names = np.arange(pairs) % units
    return x, y, names


statistics = st.sampled_from(STATISTICS)
booleans = st.booleans()


def test_marginal_p_is_scipys_permutation_test():
    random = np.random.default_rng(1)
    d = random.normal(0.3, 1, (9, 5))
    found = paired_max_t(d, statistic="mean")
    for j in range(5):
        reference = stats.permutation_test(
            (d[:, j], np.zeros(9)), lambda a, b, axis: (a - b).mean(axis=axis),
            permutation_type="samples", n_resamples=np.inf, vectorized=True,
        )  # fmt: skip
        assert found.p_marginal[j] == pytest.approx(reference.pvalue, abs=1e-10)


def test_mcnemar_alone_is_the_exact_binomial_test():
    x = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 0.0])[:, None]
    y = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 0.0])[:, None]
    found = paired_max_t(x, y, statistic="mcnemar")
    reference = stats.binomtest(7, 8).pvalue
    assert found.p_marginal[0] == pytest.approx(reference, abs=1e-10)


def test_signed_rank_without_ties_is_the_exact_wilcoxon():
    d = np.random.default_rng(2).normal(0.4, 1, 12)
    found = paired_max_t(d, statistic="signed-rank")
    assert found.p_marginal[0] == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, abs=1e-10)


def test_pratt_ranks_zeros_then_drops_them():
    assert pratt_scores(np.array([[0.0, 0.0, -2.0, 1.0]])).tolist() == [[0, 0, -8, 6]]


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("step_down", [True, False])
def test_over_all_flips_of_the_data_at_most_a_share_alpha_rejects(statistic, step_down):
    """Every group element as the data: no p is 0, and at most a share alpha rejects."""
    random = np.random.default_rng(3)
    n = 7
    x = random.choice([0.0, 0.0, 1.0, 2.0], (n, 4))
    y = random.choice([0.0, 0.0, 1.0, 3.0], (n, 4))
    smallest = []
    for signs in sign_flips(n).signs:
        swapped = np.where(signs[:, None] > 0, x, y), np.where(signs[:, None] > 0, y, x)
        found = paired_max_t(*swapped, statistic=statistic, step_down=step_down)
        smallest.append(found.p_adjusted.min())
    smallest = np.array(smallest)
    assert smallest.min() > 0
    for alpha in (0.02, 0.05, 0.1, 0.25, 0.5):
        assert (smallest <= alpha + 1e-12).mean() <= math.floor(alpha * 2**n) / 2**n + 1e-12


@given(paired(), statistics, booleans)
def test_swapping_both_members_of_every_pair_changes_no_p(data, statistic, step_down):
    x, y, units = data
    a = paired_max_t(x, y, units, statistic=statistic, step_down=step_down)
    b = paired_max_t(y, x, units, statistic=statistic, step_down=step_down)
    assert np.array_equal(a.p_adjusted, b.p_adjusted)
    assert np.array_equal(a.p_marginal, b.p_marginal)
    # Where both columns of pratt+mcnemar tie, either may be shown.
    assert np.allclose(np.abs(a.statistic), np.abs(b.statistic))


@given(paired(), statistics, st.sampled_from([0.001, 0.5, 7.0]))
def test_scaling_a_feature_changes_nothing(data, statistic, factor):
    x, y, units = data
    scale = np.ones(x.shape[1])
    scale[0] = factor
    a = paired_max_t(x, y, units, statistic=statistic)
    b = paired_max_t(x * scale, y * scale, units, statistic=statistic)
    assert np.array_equal(a.p_adjusted, b.p_adjusted)


@given(
    paired(), st.sampled_from([-3.0, -0.001, 0.3, 1e6]), st.sampled_from(["mean", "signed-rank"])
)
def test_scaling_differences_by_any_number_but_zero_changes_nothing(data, factor, statistic):
    x, y, units = data
    a = paired_max_t(x - y, units=units, statistic=statistic)
    b = paired_max_t((x - y) * factor, units=units, statistic=statistic)
    assert np.array_equal(a.p_adjusted, b.p_adjusted)


@given(paired(), statistics, st.integers(0, 63))
def test_swapping_any_units_leaves_the_null_distribution_as_it_is(data, statistic, which):
    """In the full group: the counts that any fixed threshold gets are the same."""
    x, y, units = data
    swap = ((which >> units) & 1).astype(bool)[:, None]
    n = units.max() + 1
    reached = []
    for first, second in ((x, y), (np.where(swap, y, x), np.where(swap, x, y))):
        columns = sum_scores(first, second, units, statistic)
        fixed = np.full(x.shape[1], 1.5)
        reached.append(
            counts.count_reaching(columns, fixed, sign_flips(n), two_sided=True, step_down=False)
        )
    assert np.array_equal(reached[0], reached[1])


@given(paired(), statistics, booleans)
def test_zero_features_zero_pairs_and_duplicates_change_nothing(data, statistic, step_down):
    x, y, units = data
    a = paired_max_t(x, y, units, statistic=statistic, step_down=step_down)
    n = x.shape[1]
    more = [np.column_stack([part, np.zeros(len(part)), part[:, :1]]) for part in (x, y)]
    b = paired_max_t(*more, units, statistic=statistic, step_down=step_down)
    assert np.array_equal(a.p_adjusted, b.p_adjusted[:n])
    assert b.p_adjusted[n] == b.p_marginal[n] == 1
    assert b.p_adjusted[n + 1] == a.p_adjusted[0]
    if statistic in ("mean", "mcnemar"):  # ranks count all pairs
        longer = [np.vstack([part, np.zeros(n)]) for part in (x, y)]
        c = paired_max_t(*longer, [*units, 0], statistic=statistic, step_down=step_down)
        assert np.array_equal(a.p_adjusted, c.p_adjusted)


@given(paired(), statistics, booleans)
def test_more_features_never_lower_a_p(data, statistic, step_down):
    x, y, units = data
    assume(x.shape[1] > 1)
    less = paired_max_t(x[:, :-1], y[:, :-1], units, statistic=statistic, step_down=step_down)
    more = paired_max_t(x, y, units, statistic=statistic, step_down=step_down)
    assert (more.p_adjusted[:-1] >= less.p_adjusted - 1e-12).all()


@given(paired(), statistics)
def test_marginal_step_down_single_step_in_this_order(data, statistic):
    x, y, units = data
    down = paired_max_t(x, y, units, statistic=statistic)
    single = paired_max_t(x, y, units, statistic=statistic, step_down=False)
    assert (down.p_marginal <= down.p_adjusted + 1e-12).all()
    assert (down.p_adjusted <= single.p_adjusted + 1e-12).all()
    assert (down.p_adjusted >= down.floor - 1e-12).all() or not down.statistic.any()


@given(paired())
def test_a_shift_toward_the_effect_never_raises_a_p(data):
    x, y, units = data
    d = (x - y) * np.where((x - y).sum(axis=0) < 0, -1, 1)
    before = paired_max_t(d, units=units, statistic="mean", alternative="greater")
    after = paired_max_t(d + 0.7, units=units, statistic="mean", alternative="greater")
    assert (after.p_marginal <= before.p_marginal + 1e-12).all()


@given(paired(), st.permutations(range(6)))
def test_permuting_units_changes_nothing_in_the_full_group(data, order):
    x, y, units = data
    a = paired_max_t(x, y, units)
    b = paired_max_t(x, y, np.array(order)[units])
    assert np.allclose(a.p_adjusted, b.p_adjusted)


@given(paired(), st.sampled_from(["mean", "signed-rank", "mcnemar"]))
def test_two_sided_is_twice_the_smaller_side_in_the_full_group(data, statistic):
    x, y, units = data
    two = paired_max_t(x, y, units, statistic=statistic)
    sides = [
        paired_max_t(x, y, units, statistic=statistic, alternative=side).p_marginal
        for side in ("greater", "less")
    ]
    active = two.statistic != 0
    assert np.allclose(two.p_marginal[active], np.minimum(1, 2 * np.minimum(*sides))[active])


@given(paired(), statistics)
def test_sparse_is_dense(data, statistic):
    x, y, units = data
    a = paired_max_t(x, y, units, statistic=statistic)
    b = paired_max_t(sparse.csr_array(x), sparse.csc_array(y), units, statistic=statistic)
    assert np.array_equal(a.p_adjusted, b.p_adjusted)


def test_pairs_of_one_unit_are_flipped_together():
    """Ten copies of one pair are one unit's evidence: as pairs they would be ten."""
    d = np.repeat(np.array([1.0, 2.0, 0.5]), 10)
    clustered = paired_max_t(d, units=np.repeat([0, 1, 2], 10), statistic="mean")
    assert clustered.p_marginal[0] == clustered.floor == 0.25
    assert paired_max_t(d, statistic="mean").p_marginal[0] < 1e-4


def test_tied_features_get_the_same_p_in_spite_of_rounding():
    d = np.random.default_rng(4).normal(0, 1, (10, 1))
    tied = np.column_stack([d * scale for scale in (1, 0.1, 1 / 3, 1e-7, 1e7)])
    found = paired_max_t(tied, statistic="mean")
    assert len(set(found.p_adjusted.tolist())) == 1


@pytest.mark.parametrize("units, pairs", [(17, 40), (40, 40), (300, 320)])
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("many", [0, 4096])
def test_transforms_count_what_products_count(
    monkeypatch, units, pairs, statistic, two_sided, many
):
    """Dense, sparse, nearly empty and empty features together, in both engines."""
    random = np.random.default_rng(units)
    share = random.permutation(np.repeat([1.0, 0.3, 0.1, 0.05, 0.02, 0.0], 20))
    x, y = (
        random.choice([1.0, 1.0, 2.0, 0.3], (pairs, 120)) * (random.random((pairs, 120)) < share)
        for _ in range(2)
    )
    monkeypatch.setattr(scores, "MANY", many)
    columns = sum_scores(x, y, np.arange(pairs) % units, statistic)
    assert (columns.sums.dtype == np.float32) == (many == 0 and statistic != "mean")
    observed = np.abs(columns.u).max(axis=0) if two_sided else columns.u.max(axis=0)
    group = sign_flips(units)
    few = slice(None) if units < 256 else slice(0, 30)
    columns = ScoreSums(columns.sums[:, few], columns.inverse[:, few])
    alive = (columns.inverse > 0).any(axis=0)
    order = np.flatnonzero(alive)[np.argsort(observed[few][alive])]
    arguments = (columns, observed[few] - 1e-9, order, group, two_sided, 0.0)
    own, joint, maxima = counts._by_transform(*arguments, whole=True)
    plain_own, plain_joint, plain_maxima = counts._by_product(*arguments)
    assert np.array_equal(own[alive], plain_own[alive])
    assert np.array_equal(joint[alive], plain_joint[alive])
    lazy = counts._by_transform(*arguments, whole=False)
    assert np.array_equal(lazy[1][alive], plain_joint[alive])
    # The transforms go through the flips in another order.
    assert np.allclose(np.sort(maxima), np.sort(plain_maxima), rtol=0, atol=1e-9)


def test_few_active_units_may_have_dependent_codes():
    """Six units whose codes add up to nothing: five of them decide the sixth's sign."""
    codes = bch_codes()[:40].tolist()
    seen = {}
    for triple in itertools.combinations(range(40), 3):
        total = codes[triple[0]] ^ codes[triple[1]] ^ codes[triple[2]]
        other = seen.setdefault(total, triple)
        if not set(other) & set(triple):
            break
    d = np.zeros((40, 1))
    d[[*other, *triple], 0] = [3.0, 1.1, 2.3, 5.2, -4.4, 2.9]
    plain = np.abs(sign_flips(40).signs.astype(float) @ d) >= abs(d.sum()) - 1e-9
    assert paired_max_t(d, statistic="mean").p_marginal[0] == plain.mean()


@settings(max_examples=20)
@given(st.integers(17, 60))
def test_the_subgroup_is_a_group_with_independent_quadruples(units):
    flips = sign_flips(units)
    assert flips.count == 2**16
    assert flips.exact
    assert (flips.signs[0] == 1).all()
    i, j = 12345, 54321
    product = flips.signs[i] * flips.signs[j]
    assert (product == flips.signs[i ^ j]).all()
    few = flips.signs[:, np.random.default_rng(units).permutation(units)[:4]].astype(int)
    assert (few.sum(axis=0) == 0).all()
    assert few.prod(axis=1).sum() == 0


def test_every_unit_has_its_own_code():
    codes = bch_codes()
    assert len(codes) == len(set(codes.tolist())) == 255
    assert codes[0] == 0x0101
    assert codes[1] == 0x0802


def test_beyond_the_subgroup_flips_are_drawn_with_the_plus_one():
    x = np.ones((512, 1))
    found = paired_max_t(x, statistic="mean", seed=5)
    assert not found.exact
    assert found.p_marginal[0] == found.floor == 1 / 2**16
    again = paired_max_t(np.random.default_rng(0).normal(size=(20, 3)), flips=999, seed=7)
    assert again.n_flips == 999
    assert again.floor == 1 / 1000


def test_the_null_is_kept_by_families_and_broken_by_pairs():
    """20 families of 10 pairs with an intra-class correlation of .5, 400 null data sets."""
    random = np.random.default_rng(6)
    units = np.repeat(np.arange(12), 10)
    rejected = {"family": 0, "pair": 0}
    for _ in range(200):
        d = random.normal(size=12)[units] + random.normal(size=120)
        rejected["family"] += paired_max_t(d, units=units, statistic="mean").p_marginal[0] <= 0.05
        rejected["pair"] += paired_max_t(d, statistic="mean", flips=499).p_marginal[0] <= 0.05
    assert stats.binomtest(rejected["family"], 200, 0.05).pvalue > 0.001
    assert rejected["pair"] > 60


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"x": [[np.nan], [1.0]]}, "x: nan at pair 0, feature 0"),
        ({"x": [[1.0], [2.0]], "y": [[1.0]]}, r"y: has shape \(1, 1\)"),
        ({"x": [[1.0]]}, "units: 1 unit, at least 2"),
        ({"x": [[1.0], [2.0]], "units": [1]}, "units: has shape"),
        ({"x": [[1.0], [2.0]], "statistic": "t"}, "statistic: unknown 't'"),
        ({"x": [[1.0], [2.0]], "statistic": "mcnemar"}, "y: the statistic 'mcnemar'"),
        ({"x": [[1.0], [2.0]], "alternative": "up"}, "alternative: unknown 'up'"),
        ({"x": np.zeros((2, 2, 2))}, "x: has 3 dimensions"),
    ],
)
def test_bad_input_names_the_argument(arguments, said):
    with pytest.raises(ValueError, match=said):
        paired_max_t(**arguments)


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
