"""How stable a selection is: ranks and ties, shares, overlap, and how long 200 bootstraps take."""

import time

import numpy as np
import pytest

from harness.stats.max_t import paired_statistic
from harness.stats.resampled_statistics import resampled_statistic
from harness.stats.stability import (
    bootstraps,
    chance_of_low,
    halvings,
    jaccard,
    places,
    selected,
    stability,
)


def test_bootstraps_have_as_many_draws_as_units_and_follow_the_seed():
    one = bootstraps(7, 400, 3)
    assert (one.sum(axis=1) == 7).all()
    assert one.mean(axis=0) == pytest.approx(np.ones(7), abs=0.25)
    assert one.max() > 2
    assert (one == bootstraps(7, 400, 3)).all()
    assert (one != bootstraps(7, 400, 4)).any()


@pytest.mark.parametrize("units", [2, 7, 8])
def test_halves_are_halves_and_each_unit_is_as_often_in_one(units):
    half = halvings(units, 2000, 1)
    assert (half.sum(axis=1) == units // 2).all()
    assert half.mean(axis=0) == pytest.approx(np.full(units, (units // 2) / units), abs=0.05)
    assert (half == halvings(units, 2000, 1)).all()


def test_equal_features_come_in_the_order_of_the_second_key_and_then_their_own():
    first = np.array([[1.0, 2.0, 1.0, 0.0, 1.0, -3.0]])
    second = np.array([[0.5, 0.0, -0.9, 9.0, 0.5, 9.0]])
    ranks = places(first, second)
    assert ranks.tolist() == [[2, 0, 1, 4, 3, 4]]
    assert selected(first, ranks, 2).tolist() == [[False, True, True, False, False, False]]
    # Fewer qualify than may be selected: what does not is not.
    assert selected(first, ranks, 6).tolist() == [[True, True, True, False, True, False]]


def test_places_are_those_of_sorting_a_list():
    random = np.random.default_rng(0)
    first, second = random.integers(-3, 4, (2, 50, 30)).astype(float)
    for own, other, found in zip(first, second, places(first, second), strict=True):
        listed = sorted((-a, -abs(b), i) for i, (a, b) in enumerate(zip(own, other, strict=True)) if a > 0)  # fmt: skip
        wanted = {i: rank for rank, (_, _, i) in enumerate(listed)}
        assert found.tolist() == [wanted.get(i, len(listed)) for i in range(30)]


def test_a_feature_s_share_and_the_middle_of_its_ranks():
    ranks = np.array([np.arange(200), np.full(200, 3)]).T
    found = stability(ranks < 50, ranks)
    assert found.share.tolist() == [0.25, 1.0]
    assert found.rank_low.tolist() == [4, 3]
    assert found.rank_high.tolist() == [194, 3]


def test_overlap_is_of_the_features_in_both_by_those_in_either():
    one = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    other = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    assert jaccard(one, other).tolist() == [1 / 3, 1.0, 0.0]


def test_bootstraps_of_thousands_of_features_take_no_loop_over_copies():
    """Beside five of 200 resamples, copied and scored one by one, as a ratio that any machine has."""
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(40), 4)
    x, y = random.lognormal(size=(2, 160, 2000)) * (random.random((2, 160, 2000)) < 0.3)
    weights = bootstraps(40, 200, 0)

    def ours():
        statistic = resampled_statistic(x, y, units, weights, statistic="pratt+mcnemar")
        return places(statistic, statistic)

    def copied(row):
        rows = np.concatenate([np.flatnonzero(units == u) for u in np.repeat(np.arange(40), row)])
        return paired_statistic(x[rows], y[rows], np.repeat(np.arange(40), 4))

    copied(weights[0]), ours()  # compiled
    began = time.perf_counter()
    ours()
    taken = time.perf_counter() - began
    began = time.perf_counter()
    for row in weights[:5]:
        copied(row)
    assert (time.perf_counter() - began) * 40 / taken > 5


def test_the_worst_that_there_is_reaches_the_bound_and_no_more():
    """Every pair of halves has the same two sets, each drawn at random, by itself: in both is in all."""
    top, candidates, draws = 4, 40, 20_000
    random = np.random.default_rng(7)
    sets = [set(random.permutation(candidates)[:top].tolist()) for _ in range(2 * draws)]
    in_all = sum(len(one & other) for one, other in zip(sets[::2], sets[1::2], strict=True)) / draws
    assert chance_of_low(1.0, top, candidates) == pytest.approx(0.4)
    assert in_all == pytest.approx(0.4, abs=0.02)


def test_the_bound_says_nothing_of_what_half_the_halves_select():
    assert chance_of_low(0.5, 3, 10_000) == chance_of_low(0.2, 3, 10_000) == 1.0
    assert chance_of_low(0.5001, 3, 10_000) == 1.0
    assert chance_of_low(0.75, 3, 1000) == pytest.approx(0.018)
    assert chance_of_low(1.0, 3, 0) == 1.0
