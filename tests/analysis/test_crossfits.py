"""Claims of several splits: one p of several, medians, and what a split's verdict counts for."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.crossfits import SplitSet, combine, combined_p, judge_crossfit
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.ablations import Ablation
from harness.specs.crossfit_claim import CrossfitClaim
from tests.helpers.specs import behaviour_plan

ALPHA = 0.05
CLAIM = CrossfitClaim.model_validate(
    {"name": "often", "crossfit": "top", "direction": "toward-correct"}
)
ONE = Verdict(
    "often", "ablation", "nats", "supported", "", "", 1.0, 0.5, 1.5, 0.001, 12, 48, 0.0005
)
UNSHOWN = replace(ONE, verdict="inconclusive", p=0.2)
TURNED = replace(ONE, verdict="refuted", estimate=-1.0, ci_low=-1.5, ci_high=-0.5, p=0.002)
UNTESTABLE = Verdict(
    "often", "ablation", "nats", "untestable", "no features like these", n_units=12
)
p_values = st.lists(st.floats(0.0001, 1), min_size=1, max_size=9)


def combined(*judged, sets=None):
    features = [((0, 1), (0, 2))] * len(judged)
    return combine(judged, sets or features, CLAIM, ALPHA)


@given(p_values)
def test_a_combined_p_is_the_least_alpha_at_half_of_which_half_of_the_splits_reject(p):
    found = combined_p(p)
    # By trying every alpha at which anything changes.
    reached = [2 * alpha for alpha in p if sum(one <= alpha for one in p) >= math.ceil(len(p) / 2)]
    assert found == min([1.0, *reached])


@pytest.mark.parametrize("splits", [2, 3, 4, 5, 7])
def test_however_valid_p_values_hang_together_theirs_is_valid(splits):
    """Uniform each by itself, and joined in ways that make as many small at once as can be."""
    grid = (np.arange(840) + 0.5) / 840
    need = math.ceil(splits / 2)
    shifts = [np.mod(grid + k / splits, 1) for k in range(splits)]
    alike = [grid] * splits
    opposed = [grid if k % 2 else 1 - grid for k in range(splits)]
    # Of the smallest possible values each shares its chance among `need` of the splits at once.
    small = ALPHA / 2
    blocks = list(itertools.islice(itertools.cycle(range(splits)), splits * need))
    worst = np.ones((splits, splits))
    for row in range(splits):
        worst[row, blocks[row * need : (row + 1) * need]] = small
    for joined in (shifts, alike, opposed):
        rows = np.array(joined).T
        for alpha in (0.01, 0.05, 0.2, 0.5):
            assert np.mean([combined_p(list(row)) <= alpha for row in rows]) <= alpha + 1 / 840
    # Each event of `need` small values has a chance of small / need a split: together K small / need.
    chance = splits * small / need
    assert all(combined_p(list(row)) <= ALPHA for row in worst)
    assert chance <= ALPHA


def test_it_is_supported_where_half_of_the_splits_are():
    assert combined(ONE, ONE, UNSHOWN).verdict == "supported"
    assert combined(ONE, UNSHOWN).verdict == "supported"
    assert combined(ONE, UNSHOWN, UNSHOWN).verdict == "inconclusive"
    assert combined(ONE, ONE, UNSHOWN, UNTESTABLE).verdict == "supported"
    assert combined(ONE, ONE, TURNED, TURNED, TURNED).verdict == "refuted"
    assert combined(TURNED, UNSHOWN, UNSHOWN).verdict == "inconclusive"


def test_its_p_is_twice_the_median_of_what_the_splits_say():
    p = [0.001, 0.004, 0.01, 0.02, 0.3]
    judged = [
        replace(ONE, p=one, verdict="supported" if one <= 0.025 else "inconclusive") for one in p
    ]
    for order in itertools.islice(itertools.permutations(judged), 0, 120, 7):
        found = combined(*order)
        assert found.p == pytest.approx(0.02)
        assert "supported on 4 of 5 splits at 0.025" in found.because
    assert combined(*[replace(TURNED, p=0.003)] * 3).p == pytest.approx(0.006)
    assert combined(UNSHOWN, UNSHOWN).p == pytest.approx(0.4)


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, verdict="inconclusive", p=0.001),  # one family carries it
        replace(ONE, verdict="inconclusive", p=0.02, estimate=-1.0),
        UNTESTABLE,
    ],
)
def test_a_split_that_fails_for_another_reason_than_its_p_counts_as_none(other):
    found = combined(ONE, other, other)
    assert found.verdict == "inconclusive"
    assert found.p == 1.0


def test_estimate_and_interval_are_medians_and_an_even_number_takes_the_wider():
    made = [
        replace(ONE, estimate=e, ci_low=e - w, ci_high=e + w)
        for e, w in ((1.0, 0.1), (2.0, 1.0), (4.0, 0.5), (9.0, 2.0))
    ]
    three = combined(*made[:3])
    assert (three.estimate, three.ci_low, three.ci_high) == (2.0, 1.0, 3.0)
    four = combined(*made)
    assert (four.estimate, four.ci_low, four.ci_high) == (3.0, 1.0, 4.5)


def test_it_rests_on_the_thinnest_split_that_half_of_them_need():
    fewer = replace(ONE, n_units=7, n_pairs=20, floor=0.0156)
    found = combined(ONE, fewer, sets=[((0, 1), (0, 2)), ((0, 2), (0, 3), (1, 2))])
    assert (found.n_units, found.n_pairs, found.floor) == (12, 48, 0.001)
    assert found.because.endswith("whose sets share 25% of their features")
    assert (found.kind, found.unit, found.claim) == ("crossfit", "nats", "often")
    found = combined(ONE, fewer, fewer)
    assert (found.n_units, found.n_pairs, found.floor) == (7, 20, 0.0312)
    assert combined(ONE, ONE, fewer).p >= combined(ONE, ONE, fewer).floor


def test_it_is_untestable_where_every_split_is_for_whatever_reason():
    found = combined(UNTESTABLE, replace(UNTESTABLE, because="alike"), UNTESTABLE)
    assert found.verdict == "untestable"
    assert found.p is None
    assert found.because == "on none of 3 splits it can be tested: no features like these; alike"


def test_it_says_of_how_many_splits_its_estimate_is():
    found = combined(ONE, ONE, UNTESTABLE)
    assert found.because.endswith("; estimate of the 2 that can be tested")


@pytest.mark.parametrize("direction", ["toward-correct", "toward-misconception"])
def test_a_split_that_points_the_other_way_has_no_small_p(direction):
    """Three families show nothing where one of them says the opposite: of eight flips four reach as far."""
    ablation = Ablation.model_validate({"name": "top", "select": {"by": "contrast"}, "splits": 2})
    plan = behaviour_plan()
    families = np.array(plan.families("confirmation"))
    impacts = AblationImpacts(
        ablation,
        np.array([-0.5, 2.0, 3.0]),
        np.zeros((0, len(families))),
        Units.by_family(families),
    )
    claim = CLAIM.model_copy(update={"direction": direction, "beyond": "zero"})
    splits = [SplitSet(plan, ((0, 1),), {"logit_difference": impacts})] * 2
    found = judge_crossfit(splits, claim, "logit_difference", 0.6)
    assert found.on[0].estimate == pytest.approx(1.5)
    assert {one.verdict for one in found.on} == {"inconclusive"}
    assert found.on[0].p == pytest.approx(0.5 if direction == "toward-correct" else 1.0)
