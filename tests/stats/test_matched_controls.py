"""Matched controls: how they are drawn."""

import numpy as np
import pytest

from harness.stats.matched_controls import matched_sets


def test_controls_match_layer_and_profile_and_never_repeat():
    random = np.random.default_rng(3)
    layers = np.repeat([0, 1], 200)
    profile = random.normal(size=(400, 3))
    targets = np.array([5, 6, 300])
    drawn = matched_sets(targets, layers, profile, sets=40, seed=1, pool=10)
    assert drawn.shape == (40, 3)
    assert (layers[drawn] == layers[targets]).all()
    assert not np.isin(drawn, targets).any()
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    spread = profile / profile.std(axis=0)
    for i, target in enumerate(targets):
        own = np.flatnonzero((layers == layers[target]) & ~np.isin(np.arange(400), targets))
        distance = np.square(spread[own] - spread[target]).sum(axis=1)
        nearest = own[np.argsort(distance)[:10]]
        assert np.isin(drawn[:, i], nearest).all()
    assert np.array_equal(drawn, matched_sets(targets, layers, profile, sets=40, seed=1, pool=10))
    assert not np.array_equal(
        drawn, matched_sets(targets, layers, profile, sets=40, seed=2, pool=10)
    )


def test_a_layer_with_too_few_features_is_said():
    with pytest.raises(ValueError, match="layer 0 has too few"):
        matched_sets(np.array([0, 1, 2]), np.zeros(5, int), np.zeros((5, 1)), sets=2, seed=0)
