"""Claims that a selection is stable: what is shown, what is not, and by which p."""

import pytest

from harness.analysis.stability_verdicts import judge_stable
from harness.specs.edit_claims import StableClaim
from harness.store.tables.results import SelectionOverlap, SelectionStability

COMMON = {"run_id": "r", "ablation": "top", "origin": "mock"}


def judge(*shares, candidates=1000, than=0.75, top=3, others=(), units=12, unit="family"):
    """Of features that are selected with these shares of halves, beside others that are not."""
    rows = [
        COMMON
        | {"layer": 1, "feature": i, "share": 0.0, "half_share": share}
        | {"selected": i < len(shares), "rank_low": 0, "rank_high": 9}
        for i, share in enumerate((*shares, *others))
    ]
    overlap = {"unit": unit, "n_units": units, "bootstraps": 200, "jaccard": 0.5}
    overlap |= {"halvings": 100, "halves": 0.5, "candidates": candidates}
    claim = StableClaim(name="c", stable="top", than=than)
    features = SelectionStability.of(rows)
    return judge_stable(features, SelectionOverlap.of([COMMON | overlap]), claim, top, 0.05)


@pytest.mark.parametrize("unit, said", [("family", "12 families"), ("principle", "12 principles")])
def test_a_set_that_every_half_selects_is_stable(unit, said):
    found = judge(1.0, 0.95, 0.8, others=(0.3,), unit=unit)
    assert (found.verdict, found.kind, found.unit) == ("supported", "stable", "share")
    assert found.estimate == 0.8
    # Nine of a thousand pairs of a feature and a place, over 2 x .8 - 1.
    assert found.p == pytest.approx(9 / 1000 / 0.6)
    assert found.floor == pytest.approx(9 / 1000)
    assert found.n_units == 12
    assert found.because == f"{said} that discover, 1000 features"


def test_a_feature_that_fewer_halves_select_is_named_and_nothing_is_refuted():
    found = judge(1.0, 0.75, 0.1)
    assert found.verdict == "inconclusive"
    assert found.because.endswith("; fewer select 1:1 (0.75), 1:2 (0.10)")
    assert (found.estimate, found.p) == (0.1, 1.0)


def test_a_share_that_is_reached_by_chance_shows_nothing():
    assert judge(0.6, than=0.55, candidates=10_000).verdict == "supported"
    found = judge(0.56, than=0.55)
    assert found.verdict == "inconclusive"
    assert found.p == pytest.approx(0.075)


def test_so_many_of_so_few_features_are_untestable():
    found = judge(1.0, candidates=179)
    assert (found.verdict, found.p) == ("untestable", None)
    assert found.because == "3 of 179 features can give no p below 0.0503"
    assert judge(1.0, candidates=181).verdict == "supported"


def test_without_a_selection_or_halves_it_is_untestable():
    assert judge(others=(0.5,)).because == "no feature was selected"
    claim = StableClaim(name="c", stable="top", than=0.75)
    nothing = SelectionStability.of([]), SelectionOverlap.of([])
    found = judge_stable(*nothing, claim, 3, 0.05)
    assert (found.verdict, found.because) == ("untestable", "too few units discover to be halved")
