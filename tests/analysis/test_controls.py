"""Control sets: alike where the edit acts, whatever features do elsewhere, and told where they are not."""

import numpy as np
import pytest
from scipy import sparse

from harness.analysis.ablation_impacts import ablation_impacts
from harness.analysis.controls import (
    Balance,
    balance_of,
    candidates_of,
    draw_controls,
    edit_size,
    mean_profiles,
    unlike,
)
from harness.analysis.selection import contrast_scores, select_interventions
from harness.analysis.units import Units
from harness.errors import CannotRun
from harness.specs.ablations import Ablation, looks
from harness.store.tables.interventions import Impacts
from tests.helpers.activity import activity_of, edited_of, rows_of
from tests.helpers.specs import ablation_plan

RANDOM = np.random.default_rng(0)
# A hundred features of a layer; half of them fire where the edit acts, and often if and only if seldom elsewhere.
ELSEWHERE = {(0, f): (0.9 - 0.008 * f, 1.0) for f in range(100)}
THERE = {(0, f): (0.01 * (f + 1), 2.0 + RANDOM.random()) for f in range(50)}


def ablation(**fields):
    return Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast", "top": 2}, "controls": 99} | fields
    )


CANDIDATES = candidates_of(ablation(), activity_of(ELSEWHERE), edited_of(THERE))


def drawn(targets, sets=99, alpha=0.05):
    return draw_controls(CANDIDATES, targets, sets=sets, alpha=alpha, seed=1)


def test_controls_fire_as_often_where_the_edit_acts():
    targets = [(0, 40), (0, 41), (0, 42)]
    rates = [THERE[f][0] for one in drawn(targets) for f in one]
    assert min(rates) > 0.2
    found = {one.property: one for one in balance_of(CANDIDATES, targets, drawn(targets))}
    assert found["firing rate"].target == pytest.approx(np.exp(np.log([0.41, 0.42, 0.43]).mean()))
    assert found["firing rate"].controls == pytest.approx(np.exp(np.log(rates).mean()))
    spread = np.log([rate for rate, _ in THERE.values()]).std()
    assert found["firing rate"].difference == pytest.approx(
        (np.log([0.41, 0.42, 0.43]).mean() - np.log(rates).mean()) / spread
    )


def test_a_feature_that_is_silent_where_the_edit_acts_is_beside_its_kind():
    for one in drawn([(0, 70), (0, 90), (0, 3)]):
        assert sum(f in THERE for f in one) == 1


def test_controls_may_hold_targets_and_none_is_the_target():
    targets = [(0, f) for f in range(0, 50, 5)]
    sets = drawn(targets)
    assert any(set(one) & set(targets) for one in sets)
    assert all(set(one) != set(targets) for one in sets)
    assert len({frozenset(one) for one in sets}) == 99


def test_a_small_layer_gives_all_the_sets_that_there_are():
    few = {(0, f): (0.5, 1.0 + f) for f in range(6)}
    candidates = candidates_of(ablation(), activity_of(few), edited_of(few))
    sets = draw_controls(candidates, [(0, 2)], sets=99, alpha=0.05, seed=0)
    assert sorted(sets) == [((0, f),) for f in (0, 1, 3, 4, 5)]


@pytest.mark.parametrize(
    "fields, size",
    [
        ({"kind": "zero"}, [0.5 * 4 * 3]),
        ({"kind": "scale", "value": 3.0}, [2 * 0.5 * 4 * 3]),
        ({"kind": "steer", "value": -2.0}, [2 * 3]),
        ({"kind": "clamp", "value": 10.0}, [(0.5 * 10 + 0.5 * 6) * 3]),
        ({"kind": "mean"}, [2.0 * 3]),  # from 4 to 2, and from 0 to 2
    ],
)
def test_the_size_of_an_edit_is_how_far_it_moves_the_stream(fields, size):
    one = ablation(**fields)
    assert edit_size(one, np.array([0.5]), np.array([4.0]), np.array([3.0])).tolist() == size


def test_longer_directions_are_larger_edits_and_rounding_is_none():
    profile = mean_profiles(CANDIDATES, [[(0, 10)], [(0, 10), (0, 20)]])
    rate, mean = THERE[0, 10]
    assert profile[0, 2] == pytest.approx(rate * mean)
    longer = candidates_of(ablation(), activity_of(ELSEWHERE), edited_of(THERE, norm=3.0))
    assert mean_profiles(longer, [[(0, 10)]])[0, 2] == pytest.approx(3 * rate * mean)


def test_what_lies_apart_is_named():
    found = {"firing rate": 0.3, "edit size": -0.8, "mean activation": 0.1}
    assert unlike(found, 0.25) == "firing rate +0.30 sd, edit size -0.80 sd"
    assert unlike(found, 0.75) == "edit size -0.80 sd"
    assert unlike({}, 0.0) == ""
    assert Balance("edit size", 1.0, 2.0, -0.8).difference == -0.8


@pytest.mark.parametrize("sets, expected", [(1, [1]), (20, [20]), (38, [38]), (39, [19, 39]),
                                            (98, [19, 98]), (99, [19, 49, 99])])  # fmt: skip
def test_there_are_looks_where_they_save_much(sets, expected):
    assert list(looks(ablation(controls=sets))) == expected


def test_a_layer_without_another_set_is_said():
    alone = {(1, 3): (0.5, 1.0)}
    plan = ablation_plan(select={"by": "list", "features": {1: (3,)}})
    with pytest.raises(CannotRun, match="layer 1 has too few active features"):
        select_interventions(plan, plan.spec.ablations[0], {}, activity_of(alone), edited_of(alone))


def measured(effects, left_out=0, edited=True):
    """The impacts of a target and controls that do this to every prompt, the last of them left out."""
    plan = ablation_plan(select={"by": "list", "features": {1: (3,)}}, controls=len(effects) - 1)
    one = plan.spec.ablations[0]
    rates = {(1, f): (0.2 + 0.005 * f, 1.0 + f % 7) for f in range(60)}
    found = select_interventions(plan, one, {}, activity_of(rates), edited_of(rates))
    edits = [edit for edit in found if edit.role in ("target", "control")]
    prompts = [p for p in plan.of("confirmation") if p.label == one.variant]
    impacts = Impacts.of(
        {"run_id": "r", "intervention_id": edit.id, "prompt_id": p.id, "metric": "logit_difference",
         "baseline": 0.0, "edited": 0.0, "active": True, "origin": "mock", "source_id": None,
         "impact": effect}
        for edit, effect in list(zip(edits, effects, strict=True))[: len(edits) - left_out]
        for p in prompts
    )  # fmt: skip
    rows = rows_of(edits, impacts, edited=edited_of(rates) if edited else None)
    return ablation_impacts(plan, one, rows).impacts["logit_difference"]


def test_controls_that_a_look_left_out_are_no_controls():
    impacts = measured([3.0, *range(20)], left_out=1)
    assert impacts.controls.shape[0] == 19
    assert impacts.planned == 20
    assert impacts.profiles.shape == (20, 3)
    assert np.isfinite(impacts.controls).all()


@pytest.mark.parametrize("target, futile", [(-9.0, False), (9.5, True), (99.0, False)])
def test_more_controls_are_futile_where_the_target_is_among_them_on_both_sides(target, futile):
    assert measured([target, *range(19)], edited=False).is_futile is futile


def test_a_rank_is_beside_what_the_sets_are_like_where_that_is_known():
    effects = [5.0, *np.random.default_rng(0).normal(size=30)]
    assert measured(effects).profiles is not None
    assert measured(effects, edited=False).profiles is None
    assert measured(effects, edited=False).rank_p(1) == 1 / 31


class Paired:
    """Activations of two features, the first stronger in every family and the second by far more in most."""

    units = Units.by_family(list("abcd"))
    features = ((1, 3), (1, 4), (1, 5))

    def of(self, variant):
        if variant == "correct":
            return sparse.csc_array((4, 3))
        return sparse.csc_array(
            [[1.0, 9.0, -5.0], [1.0, 8.0, -5.0], [1.0, 9.0, -5.0], [1.0, -1.0, -5.0]]
        )


def test_features_are_ranked_by_size_or_by_consistency():
    plan = ablation_plan()
    rates = dict.fromkeys(Paired.features, (0.5, 1.0))
    scores = {
        rank: contrast_scores(
            plan,
            ablation(select={"by": "contrast", "rank": rank}),
            Paired(),
            activity_of(rates, 2.0),
        )
        for rank in ("size", "consistency")
    }
    assert scores["size"] == {(1, 3): 2.0, (1, 4): 12.5, (1, 5): -10.0}
    by_consistency = scores["consistency"]
    assert by_consistency[1, 3] == -by_consistency[1, 5] > by_consistency[1, 4] > 0
    # Of equal ones the larger comes first, and what all families say as much of is equal.
    assert list(by_consistency).index((1, 5)) < list(by_consistency).index((1, 3))
    assert by_consistency[1, 3] == 2


def test_what_rounding_loses_orders_no_features_that_are_as_consistent_as_can_be(monkeypatch):
    rounded = np.array([2.0, 1.0, -2.0 + 4e-16])
    monkeypatch.setattr("harness.analysis.selection.paired_statistic", lambda *a, **k: rounded)
    activity = activity_of(dict.fromkeys(Paired.features, (0.5, 1.0)))
    asked = ablation(select={"by": "contrast", "rank": "consistency"})
    found = contrast_scores(ablation_plan(), asked, Paired(), activity)
    assert found == {(1, 3): 2.0, (1, 4): 1.0, (1, 5): -2.0}
