"""What is edited: the features of each way to select, their values, doses and controls."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.ablation_tests import ablation_tests
from harness.analysis.selection import attribution_scores, select_interventions, truth_scores
from harness.errors import CannotRun
from harness.specs.ablations import Ablation
from harness.specs.known_features import load_truth
from harness.specs.targets import load_targets
from harness.store.interventions import intervention_rows, interventions_of
from harness.store.tables.interventions import Impacts
from harness.store.tables.observations import Attributions
from tests.helpers.activity import activity_of, edited_of, rows_of
from tests.helpers.specs import ablation_plan, family_lines, in_clusters

RATES = {(layer, f): (0.1 + 0.01 * f, 1.0 + f + layer) for layer in (1, 2) for f in range(20)}
# Where it is edited they fire half as often, and strongly; over both variants their mean is the layer.
THERE = {feature: (rate / 2, mean / 2) for feature, (rate, mean) in RATES.items()}
ACTIVITY, EDITED = activity_of(RATES), edited_of(THERE, {f: float(f[0]) for f in RATES})
SCORES = {(1, 3): 2.0, (2, 5): 4.0, (1, 7): -3.0, (1, 50): 9.0}


def chosen(scores=SCORES, plan=None, **fields):
    ablation = Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast", "top": 2}, "controls": 4} | fields
    )
    found = select_interventions(plan or ablation_plan(), ablation, scores, ACTIVITY, EDITED)
    return {role: [one for one in found if one.role == role]
            for role in ("target", "no-op", "single", "dose", "control")}  # fmt: skip


def test_the_strongest_active_features_toward_the_asked_side_come_first():
    (target,) = chosen()["target"]
    assert target.features == ((2, 5), (1, 3))
    assert target.scores == (4.0, 2.0)
    (other,) = chosen(select={"by": "contrast", "top": 2, "toward": "misconception"})["target"]
    assert other.features == ((1, 7),)
    assert other.scores == (-3.0,)


def test_features_that_consistency_cannot_order_are_counted_and_those_selected_named():
    """There are three discovery families, and (1, 50) is not active."""
    top = len(ablation_plan().families("discovery")) ** 0.5
    scores = {
        (1, 3): top,
        (2, 5): top - 1e-12,
        (1, 7): top,
        (1, 8): -top,
        (2, 1): 1.7,
        (1, 50): top,
    }
    by = {"by": "contrast", "rank": "consistency"}
    for n, toward, tied, named in (
        (2, "correct", 3, "1:3, 1:7: 3 features"),
        (4, "correct", 3, "1:3, 1:7, 2:5: 3 features"),
        (2, "misconception", 0, ""),  # one alone is no tie
    ):
        found = chosen(scores, select={**by, "top": n, "toward": toward})
        (target,) = found["target"]
        assert target.tied == tied
        assert named in target.ceiling
        assert not any(one.tied for role in found.values() for one in role if one is not target)
        assert interventions_of(intervention_rows([target], "r", "mock")) == (target,)
    for select in ({"by": "contrast"}, {"by": "attribution"}):
        assert chosen(scores, select=select)["target"][0].ceiling == ""
    few = {(1, 3): top, (1, 7): 1.7}
    assert chosen(few, select={**by, "top": 2})["target"][0].tied == 0


def test_no_feature_is_more_consistent_than_in_every_cluster():
    """Of four discovery families that two principles share, all say as much at the root of two."""
    plan = ablation_plan(in_clusters(family_lines(8), (4, 4)))
    own = plan.clusters("principle")
    sides = {f: "discovery" if int(f[1:]) % 2 else "confirmation" for f in own}
    plan = replace(plan, sides=sides)
    clustered = replace(plan, spec=plan.spec.model_copy(update={"cluster": "principle"}))
    assert [own[family] for family in plan.families("discovery")] == ["p00", "p00", "p01", "p01"]
    scores = dict.fromkeys([(1, 3), (2, 5)], 2**0.5)
    select = {"by": "contrast", "rank": "consistency"}
    tied = [chosen(scores, one, select=select)["target"][0].tied for one in (plan, clustered)]
    assert tied == [0, 2]


def test_listed_features_come_in_their_order_and_each_once():
    select = {"by": "list", "features": {2: (9, 4, 9), 1: (0,)}}
    found = chosen({}, select=select)
    assert found["target"][0].features == ((2, 9), (2, 4), (1, 0))
    assert [one.features for one in found["single"]] == [((2, 9),), ((2, 4),), ((1, 0),)]
    with pytest.raises(CannotRun, match="no discovery prompt activates 2:30"):
        chosen({}, select={"by": "list", "features": {2: (30,)}})


def test_known_features_are_ranked_by_how_well_they_separate():
    truth = load_truth(load_targets()["organism"])
    scores = truth_scores(truth)
    assert len(scores) == len(truth) == 5
    assert all(
        (score > 0) == (one.sign > 0) for one, score in zip(truth, scores.values(), strict=True)
    )


@pytest.mark.parametrize(
    "fields, value",
    [
        ({"kind": "zero"}, lambda f: None),
        ({"kind": "clamp", "value": 7.5}, lambda f: 7.5),
        ({"kind": "mean"}, lambda f: float(f[0])),  # at the edited positions
    ],
)
def test_every_edit_has_its_value_and_so_have_its_controls(fields, value):
    found = chosen(**fields)
    for one in (*found["target"], *found["no-op"], *found["single"], *found["control"]):
        wanted = [value(feature) for feature in one.features]
        assert list(one.values) == ([] if wanted[0] is None else pytest.approx(wanted))
        assert one.kind == fields["kind"]


def test_doses_scale_the_target_whatever_the_kind():
    found = chosen(kind="resample", source="pair", doses=(0, 0.5, 2, 0.5))
    doses = found["dose"]
    assert [one.values for one in doses] == [(0.0, 0.0), (0.5, 0.5), (2.0, 2.0)]
    assert {(one.kind, one.source, one.features) for one in doses} == {
        ("scale", None, found["target"][0].features)
    }
    assert found["control"][0].source == "pair"


@pytest.mark.parametrize("positions", ["prompt", (1, -1)])
def test_interventions_come_back_from_the_store_as_they_were(positions):
    found = chosen(kind="steer", value=-1.0, doses=(2,), positions=positions)
    made = sorted((one for some in found.values() for one in some),
                  key=lambda one: (one.ablation, one.role, one.number))  # fmt: skip
    assert interventions_of(intervention_rows(made, "r", "mock")) == tuple(made)
    assert len({one.id for one in made}) == len(made)


def attributions(rows):
    return Attributions.of(
        {"run_id": "r", "ablation": "top", "family": family, "layer": 1, "feature": f,
         "predicted": value, "origin": "mock"}
        for family, f, value in rows
    )  # fmt: skip


def test_attribution_scores_take_the_named_families_alone():
    rows = attributions([("a", 3, 1.0), ("b", 3, 3.0), ("c", 3, 100.0), ("a", 4, -1.0)])
    assert attribution_scores(rows, ("a", "b")) == {(1, 3): 2.0, (1, 4): -0.5}


def test_predictions_are_held_against_exact_impacts():
    """A set's prediction is the sum of its features', and a dose of s does 1 - s of it."""
    plan = ablation_plan(select={"by": "attribution", "top": 2}, controls=4, doses=(0.5,))
    ablation = plan.spec.ablations[0]
    found = select_interventions(plan, ablation, {(1, 3): 2.0, (1, 4): 1.0}, ACTIVITY, EDITED)
    prompts = [p for p in plan.of("confirmation") if p.label == ablation.variant]
    families = sorted({p.family for p in prompts})
    effect = {f: 0.1 * f for f in range(20)}
    predictions = attributions(
        (family, f, value * len(prompts) / len(families))
        for family in [*families, *plan.families("discovery")]
        for f, value in effect.items()
    )
    noise = np.random.default_rng(0)
    impacts = Impacts.of(
        {"run_id": "r", "intervention_id": one.id, "prompt_id": p.id, "metric": metric,
         "baseline": 0.0, "edited": 0.0, "active": True, "origin": "mock", "source_id": None,
         "impact": sign * (sum(effect[f] for _, f in one.features) + noise.normal(0, 1e-3))}
        for one in found for p in prompts
        for metric, sign in (("logit_difference", 1), ("log_p_misconception", -1))
    )  # fmt: skip
    measured = rows_of(found, impacts, predictions)
    result, tables = ablation_tests(plan, ablation, measured, "r", "mock")
    rows = {
        (table.metric[i], table.role[i], i): {n: getattr(table, n)[i] for n in table.names()}
        for table in tables
        for i in range(len(table))
    }
    by_role = {role: row for (metric, role, _), row in rows.items() if metric == "logit_difference"}
    assert by_role["target"]["predicted"] == pytest.approx(0.7)
    assert by_role["dose"]["predicted"] == pytest.approx(0.35)
    assert by_role["no-op"]["predicted"] == 0
    assert by_role["target"]["rank_correlation"] > 0.9
    assert by_role["single"]["rank_correlation"] is None
    other = {role: row for (metric, role, _), row in rows.items() if metric != "logit_difference"}
    assert other["target"]["predicted"] is None
    # Toward correct, log p of the misconception falls: the rank is counted in that direction.
    assert other["target"]["p_rank"] == by_role["target"]["p_rank"]
    result = result["logit_difference"]
    assert result.metric == "logit_difference"
