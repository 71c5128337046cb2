"""A slice of the statistics' benchmark: p values are those of every package that is installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import statistics

PEERS = {"nilearn": "nilearn permuted_ols", "mne": "MNE permutation_t_test"}
TIMED = {"scipy permutation_test"} | {name for of, name in PEERS.items() if find_spec(of)}


@pytest.fixture(autouse=True)
def _few_additions(monkeypatch):
    monkeypatch.setattr(statistics, "peak", lambda: 1e10)  # a second of matrix products


def test_p_values_are_those_of_the_peers(figures):
    statistics.agreement()
    shown = figures()
    assert shown.keys() == {
        f"p: largest difference from {name.removesuffix(' permutation_test').split()[0]}"
        for name in TIMED
    }
    assert all(figure["holds"] for figure in shown.values())


def test_other_p_values_are_seen(figures):
    assert not statistics.close("another", np.array([0.2, 0.3]), np.array([0.2, 0.31]), 1e-9)
    assert not figures()["p: largest difference from another"]["holds"]


def test_the_corners_are_as_promised(figures):
    statistics.corners()
    shown = figures()
    assert len(shown) == 2
    assert all(figure["holds"] for figure in shown.values())


def test_ours_and_the_peers_are_timed(figures):
    statistics.at_size(256, rounds=1)
    shown = figures()
    assert {name.split(" / ")[0] for name in shown if "time a flip" in name} == TIMED
    assert all(figure["value"] > 0 for figure in shown.values())
