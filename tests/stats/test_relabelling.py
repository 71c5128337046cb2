"""Leaves of like features, and sets that take as many from each as were selected there."""

from collections import Counter
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats import (
    control_rank_p,
    count_sets,
    leaf_size,
    leaves,
    relabelled_sets,
    standard_profiles,
)


@pytest.mark.parametrize("targets, size", [(1, 40), (2, 10), (3, 5), (4, 3), (10, 3), (500, 3)])
def test_leaves_are_as_small_as_alpha_allows(targets, size):
    assert leaf_size(targets, 0.05) == size


def test_a_small_alpha_needs_larger_leaves():
    assert leaf_size(1, 0.01) == 200
    assert leaf_size(2, 0.01) == 20
    assert leaf_size(4, 0.01) == 5
    assert leaf_size(1, 5e-324) == 2**53


@given(st.integers(0, 10_000), st.integers(1, 200), st.sampled_from([1, 3, 5, 40]))
def test_no_leaf_is_too_small_too_large_or_of_two_layers(seed, n, least):
    random = np.random.default_rng(seed)
    layers = random.integers(0, 3, n)
    leaf = leaves(layers, random.normal(size=(n, 3)), least=least)
    for one in set(leaf.tolist()):
        members = np.flatnonzero(leaf == one)
        (layer,) = set(layers[members].tolist())
        assert len(members) >= min(least, (layers == layer).sum())
        assert len(members) < 2 * least
    assert set(leaf.tolist()) == set(range(leaf.max() + 1))


def test_a_leaf_is_halved_along_its_widest_column():
    profile = np.column_stack([np.tile([0.0, 1.0], 8), np.repeat([0.0, 9.0], 8)])
    leaf = leaves([0] * 16, profile, least=8)
    assert len(set(leaf[:8].tolist())) == len(set(leaf[8:].tolist())) == 1
    assert leaf[0] != leaf[8]


@pytest.mark.parametrize("seed", range(20))
def test_leaves_are_the_same_on_a_machine_that_rounds_otherwise(seed):
    """Every column of a whole layer has a spread of 1: rounding may not say along which it is cut."""
    random = np.random.default_rng(seed)
    layers, profile = [0] * 60 + [1] * 60, random.normal(size=(120, 4))
    elsewhere = profile * (1 + 1e-7 * random.uniform(-1, 1, profile.shape))
    here, there = (
        leaves(layers, standard_profiles(layers, one), least=5) for one in (profile, elsewhere)
    )
    assert here.tolist() == there.tolist()


def test_features_that_are_equal_but_for_rounding_keep_their_order():
    random = np.random.default_rng(0)
    profile = random.integers(0, 3, size=(90, 2)).astype(float)
    elsewhere = profile + 1e-9 * random.uniform(-1, 1, profile.shape)
    here, there = (leaves([0] * 90, one, least=5) for one in (profile, elsewhere))
    assert here.tolist() == there.tolist()


def test_a_column_is_scaled_within_its_layer():
    random = np.random.default_rng(0)
    profile = np.concatenate([random.normal(3, 2, (50, 2)), random.normal(-70, 40, (50, 2))])
    standard = standard_profiles([0] * 50 + [1] * 50, profile)
    for own in (standard[:50], standard[50:]):
        assert own.mean(axis=0) == pytest.approx(0)
        assert own.std(axis=0) == pytest.approx(1)


def test_a_norm_of_one_tells_no_features_apart():
    random = np.random.default_rng(0)
    norm = 1 + 6e-8 * random.normal(size=60)
    rate = random.normal(size=60)
    standard = standard_profiles([0] * 60, np.column_stack([rate, norm]))
    assert not standard[:, 1].any()
    assert standard[:, 0].any()


@given(st.integers(0, 10_000))
def test_sets_are_distinct_and_take_as_many_of_every_leaf(seed):
    random = np.random.default_rng(seed)
    leaf = random.integers(0, 6, 60)
    targets = random.choice(60, int(random.integers(1, 12)), replace=False)
    drawn = relabelled_sets(targets, leaf, sets=30, seed=seed)
    whole = count_sets(targets, leaf)
    assert len(drawn) == min(30, whole - 1)
    own = Counter(leaf[targets].tolist())
    for row in drawn:
        assert len(set(row.tolist())) == len(targets)
        assert Counter(leaf[row].tolist()) == own
        assert set(row.tolist()) != set(targets.tolist())
    assert len({frozenset(row.tolist()) for row in drawn}) == len(drawn)
    assert np.array_equal(drawn, relabelled_sets(targets, leaf, sets=30, seed=seed))


def test_few_sets_are_all_listed():
    leaf = [0, 0, 0, 0, 1, 1, 1]
    drawn = relabelled_sets([0, 1, 4], leaf, sets=99, seed=3)
    every = {frozenset((*pair, one)) for pair in combinations(range(4), 2) for one in (4, 5, 6)} - {
        frozenset((0, 1, 4))
    }
    assert {frozenset(row.tolist()) for row in drawn} == every
    assert count_sets([0, 1, 4], leaf) == len(every) + 1 == comb(4, 2) * 3


def test_a_set_may_hold_a_target_and_each_set_is_as_likely():
    """Of 45 sets, each is drawn about as often; 16 hold one of the two targets."""
    found = Counter(
        frozenset(row.tolist())
        for seed in range(600)
        for row in relabelled_sets([0, 1], [0] * 10, sets=5, seed=seed)
    )
    assert len(found) == 44
    counts = np.array(list(found.values()))
    expected = 600 * 5 / 44
    # Chi-squared of 43: its .999 quantile is 77.4.
    assert np.square(counts - expected).sum() / expected < 77.4
    assert sum(len(one & {0, 1}) == 1 for one in found) == 16


def test_many_sets_are_drawn_without_listing_them():
    drawn = relabelled_sets(range(10), [0] * 500, sets=99, seed=0)
    assert drawn.shape == (99, 10)


@pytest.mark.parametrize("features, targets", [(500, 1), (21, 1), (11, 1), (30, 10)])
def test_the_rank_among_relabelled_sets_is_exact(features, targets):
    """A set drawn at random is called no more often than alpha; a simulation of 2,000."""
    random = np.random.default_rng(features)
    called = 0
    for seed in range(2000):
        impact = random.lognormal(size=features)
        profile = random.normal(size=(features, 2))
        leaf = leaves([0] * features, profile, least=leaf_size(targets, 0.05))
        chosen = random.choice(features, targets, replace=False)
        sets = relabelled_sets(chosen, leaf, sets=19, seed=seed)
        if len(sets) >= 19:
            called += control_rank_p(impact[chosen].sum(), impact[sets].sum(axis=1)) <= 0.05
    assert called / 2000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: relabelled_sets([], [0, 0], sets=1, seed=0), "targets: at least one"),
        (lambda: relabelled_sets([0, 0], [0, 0], sets=1, seed=0), "targets: a feature comes twice"),
        (lambda: relabelled_sets([2], [0, 0], sets=1, seed=0), "targets: not all"),
        (lambda: leaf_size(0, 0.05), "targets: "),
    ],
)
def test_what_cannot_be_drawn_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
