"""The device's noise beside an ablation's impacts: the largest there was, or nothing known of it."""

import math

import pytest

from harness.analysis.ablation_tests import ablation_tests
from harness.analysis.noise_floor import is_clear_of_noise
from harness.analysis.selection import select_interventions
from harness.store.tables.interventions import ImpactNoise, Impacts
from tests.helpers.activity import activity_of, edited_of, rows_of
from tests.helpers.specs import ablation_plan

RATES = {(1, f): (0.5, 1.0) for f in (3, 4)}
IMPACTS = {"target": 1.0, "no-op": 0.25}  # of the others, none


def floors(differences):
    """The noise by metric, with these differences of some prompts in the spec's metric."""
    plan = ablation_plan(select={"by": "list", "features": {1: (3,)}}, controls=1)
    ablation = plan.spec.ablations[0]
    found = select_interventions(plan, ablation, {}, activity_of(RATES), edited_of(RATES))
    prompts = [p for p in plan.of("confirmation") if p.label == ablation.variant]
    own = {"run_id": "r", "metric": "logit_difference", "origin": "mock"}
    impacts = Impacts.of(
        own
        | {"intervention_id": one.id, "prompt_id": p.id, "impact": IMPACTS.get(one.role, 0.0)}
        | {"baseline": 0.0, "edited": 0.0, "active": True, "source_id": None}
        for one in found
        for p in prompts
    )
    noise = ImpactNoise.of(
        own | {"ablation": ablation.name, "prompt_id": p.id, "difference": difference}
        for p, difference in zip(prompts, differences, strict=False)
    )
    rows = rows_of(found, impacts, noise=noise)
    result, (tests,) = ablation_tests(plan, ablation, rows, "r", "mock")
    return result["logit_difference"].noise, set(tests.noise)


def test_the_floor_is_the_largest_difference_of_a_prompt():
    assert floors([0.5, 2.0, 0.75]) == (2.0, {2.0})


def test_what_the_same_batch_gives_another_time_is_noise_too():
    assert floors([0.0, 0.125]) == (0.25, {0.25})


def test_what_was_not_measured_is_not_0():
    """As in a file of an older harness."""
    noise, stored = floors([])
    assert math.isnan(noise)
    assert all(map(math.isnan, stored))


@pytest.mark.parametrize(
    "low, high, bound, noise, clear",
    [
        (0.5, 1.0, 0.0, 0.4, True),
        (0.5, 1.0, 0.0, 0.6, False),
        (-1.0, -0.5, 0.0, 0.4, True),
        (-1.0, -0.5, 0.0, 0.6, False),
        (-0.2, 0.3, (-0.5, 0.5), 0.1, True),
        (-0.2, 0.3, (-0.5, 0.5), 0.25, False),
        (-0.3, 0.2, (-0.5, 0.5), 0.25, False),
        (0.7, 0.9, (-0.5, 0.5), 0.1, True),
        (0.7, 0.9, (-0.5, 0.5), 0.25, False),
        (-0.9, -0.7, (-0.5, 0.5), 0.1, True),
        (-0.9, -0.7, (-0.5, 0.5), 0.25, False),
    ],
)
def test_an_interval_is_clear_where_noise_on_both_ends_changes_nothing(
    low, high, bound, noise, clear
):
    assert is_clear_of_noise(low, high, bound, noise) == clear
