"""Claims about shares, doses and side effects, on made-up impacts of which the truth is known."""

import numpy as np
import pytest

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.dose_verdicts import judge_monotone, slope_weights
from harness.analysis.mean_verdicts import side_of
from harness.analysis.share_verdicts import judge_share
from harness.analysis.side_effect_verdicts import judge_side_effect
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import (
    CollateralClaim,
    MonotoneClaim,
    ShareClaim,
    SpecificClaim,
)
from harness.stats import mean_interval
from harness.store.tables.interventions import SideEffects

FAMILIES = 12
UNITS = np.repeat([f"f{i:02}" for i in range(FAMILIES)], 2)
ABLATION = Ablation.model_validate({"name": "top", "select": {"by": "contrast"}})


def drawn(mean, spread=0.2, seed=0):
    random = np.random.default_rng(seed)
    own = random.normal(0, spread, FAMILIES)[np.unique(UNITS, return_inverse=True)[1]]
    return mean + own + random.normal(0, spread / 2, len(UNITS))


def impacts(target=0.0, **more):
    return AblationImpacts(
        ABLATION, drawn(target), np.zeros((0, len(UNITS))), Units.by_family(UNITS), **more
    )


def share(target, gap, than=0.25, **more):
    claim = ShareClaim(name="c", share="top", than=than)
    return judge_share(impacts(target, **more), drawn(gap, seed=1), claim, 0.05)


@pytest.mark.parametrize(
    "target, gap, expected",
    [
        (4.0, 10.0, "supported"),
        (-4.0, -10.0, "supported"),  # the correct variant is edited: what closes the gap is below 0
        (1.0, 10.0, "refuted"),
        (-4.0, 10.0, "refuted"),  # away from the other variant
        (2.5, 10.0, "inconclusive"),
    ],
)
def test_a_share_is_the_impact_over_the_gap_whichever_side_that_is_on(target, gap, expected):
    found = share(target, gap)
    assert found.verdict == expected
    assert found.unit == "share"
    assert found.estimate == pytest.approx(target / gap, abs=0.03)
    assert found.ci_low < target / gap < found.ci_high


def test_without_a_gap_there_is_nothing_to_close():
    found = share(3.0, 0.0)
    assert (found.verdict, found.p, found.estimate) == ("untestable", None, None)
    assert "no gap" in found.because


def test_a_share_needs_families():
    claim = ShareClaim(name="c", share="top", than=0.25)
    for n in (2, 4, 8):
        some = AblationImpacts(
            ABLATION, drawn(4.0)[:n], np.zeros((0, n)), Units.by_family(UNITS[:n])
        )
        found = judge_share(some, drawn(10.0, seed=1)[:n], claim, 0.05)
        assert found.verdict == "untestable"


def test_a_gap_that_is_closed_by_destroying_both_answers_is_not_closed():
    ruined = np.full((1, len(UNITS)), -6.0)
    found = share(4.0, 10.0, mass=ruined)
    assert found.verdict == "inconclusive"
    assert "destroyed" in found.because
    assert share(4.0, 10.0, mass=np.full((1, len(UNITS)), -0.5)).verdict == "supported"


def test_noise_that_could_have_made_a_share_leaves_it_open():
    assert share(4.0, 10.0, noise=0.001).verdict == "supported"
    assert share(4.0, 10.0, noise=5.0).verdict == "inconclusive"


def doses(by_factor, **more):
    made = {factor: drawn(mean, seed=i) for i, (factor, mean) in enumerate(by_factor.items())}
    return impacts(doses=made, **more)


def monotone(by_factor, direction="toward-correct", **more):
    claim = MonotoneClaim(name="c", monotone="top", direction=direction)
    return judge_monotone(doses(by_factor, **more), claim, 0.05)


@pytest.mark.parametrize(
    "by_factor, direction, expected",
    [
        ({0.0: 4.0, 0.5: 2.0, 2.0: -4.0}, "toward-correct", "supported"),
        ({0.0: 4.0, 0.5: 2.0, 2.0: -4.0}, "toward-misconception", "refuted"),
        ({0.0: -4.0, 0.5: -2.0, 2.0: 4.0}, "toward-misconception", "supported"),
        ({0.0: 4.0, 0.5: 2.0, 2.0: 5.0}, "toward-correct", "refuted"),  # more of them repairs, too
        ({0.0: 2.0, 0.5: 4.0, 2.0: -4.0}, "toward-correct", "refuted"),  # it turns round
        ({0.0: 0.0, 0.5: 0.0, 2.0: 0.0}, "toward-correct", "inconclusive"),
    ],
)
def test_doses_are_in_order_and_no_step_turns_round(by_factor, direction, expected):
    found = monotone(by_factor, direction)
    assert found.verdict == expected
    assert "x2" in found.because


def test_the_slope_is_that_of_least_squares_with_the_untouched_prompts_as_dose_one():
    some = doses({0.0: 4.0, 0.5: 1.0, 3.0: -2.0})
    found = judge_monotone(
        some, MonotoneClaim(name="c", monotone="top", direction="toward-correct"), 0.05
    )
    factors = [0.0, 0.5, 1.0, 3.0]
    columns = [some.doses.get(factor, np.zeros(len(UNITS))) for factor in factors]
    slopes = [-np.polyfit(factors, values, 1)[0] for values in zip(*columns, strict=True)]
    wanted = mean_interval(np.array(slopes), UNITS)
    assert found.estimate == pytest.approx(wanted.mean[0])
    assert found.ci_low == pytest.approx(wanted.low[0])
    assert sum(slope_weights(factors)) == pytest.approx(0)


def test_a_step_is_one_of_several_and_each_has_its_share_of_alpha():
    """A step that is shown at alpha, and not at alpha over the number of steps, turns nothing round."""
    first = drawn(4.0, seed=0)
    noise = drawn(0.0, seed=1)
    for shift in np.arange(0.0, 0.5, 0.002):
        step = noise - noise.mean() - shift  # from half of the features to none
        alone, corrected = (
            side_of(step, Units.by_family(UNITS), 0.0, alpha) for alpha in (0.05, 0.05 / 3)
        )
        if alone.rejects and not corrected.rejects:
            break
    else:
        pytest.fail("no such step")
    made = {0.0: first + step, 0.5: first, 2.0: drawn(-9.0, seed=2)}
    claim = MonotoneClaim(name="c", monotone="top", direction="toward-correct")
    assert judge_monotone(impacts(doses=made), claim, 0.05).verdict == "supported"
    made[0.0] = first + step - 0.5
    found = judge_monotone(impacts(doses=made), claim, 0.05)
    assert found.verdict == "refuted"
    assert found.p <= 0.05


def test_a_step_inside_the_noise_turns_nothing_round():
    assert monotone({0.0: 4.0, 0.5: 4.6, 2.0: -9.0}).verdict == "refuted"
    found = monotone({0.0: 4.0, 0.5: 4.6, 2.0: -9.0}, noise=0.5)
    assert found.verdict == "supported"


def test_a_dose_that_destroys_both_answers_is_named():
    mass = {0.0: np.full(len(UNITS), -0.2), 2.0: np.full(len(UNITS), -5.0)}
    found = monotone({0.0: 4.0, 0.5: 2.0, 2.0: -4.0}, dose_mass=mass)
    assert found.verdict == "inconclusive"
    assert "at x2 the answers were destroyed" in found.because


def rows(target, control=0.0, file="", metric="logit_difference", spread=0.05):
    n = len(UNITS)
    made = [("target", drawn(target, spread)), ("control", np.full(n, control))]
    return SideEffects.of(
        {
            "run_id": "r",
            "ablation": "top",
            "file": at,
            "intervention_id": role,
            "role": role,
            "family": UNITS[i],
            "prompt_id": str(i),
            "metric": name,
            "baseline": 0.0,
            "edited": values[i],
            "impact": values[i] + (0.0 if (at, name) == (file, metric) else 50.0),
            "active": True,
            "origin": "mock",
        }
        for at in {file, "", "other.jsonl"}
        for name in ("logit_difference", "kl", "log_p_correct")
        for role, values in made
        for i in range(n)
    )


@pytest.mark.parametrize(
    "mean, expected", [(0.1, "supported"), (2.0, "refuted"), (0.5, "inconclusive")]
)
def test_an_edit_is_specific_where_the_other_variant_hardly_moves(mean, expected):
    claim = SpecificClaim(name="c", specific="top", within=0.5)
    found = judge_side_effect(rows(mean), claim, impacts(), 0.05)
    assert found.verdict == expected
    assert found.estimate == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize(
    "metric, mean, expected",
    [
        ("kl", 0.05, "supported"),
        ("kl", 0.5, "refuted"),
        ("log_p_correct", -0.05, "supported"),
        ("log_p_correct", -0.5, "refuted"),
        ("log_p_correct", 0.5, "refuted"),
    ],
)
def test_collateral_effects_are_of_one_file_and_one_metric(metric, mean, expected):
    claim = CollateralClaim(
        name="c", collateral="top", prompts="some.jsonl", metric=metric, within=0.2
    )
    found = judge_side_effect(rows(mean, 0.01, "some.jsonl", metric), claim, impacts(), 0.05)
    assert found.verdict == expected
    assert found.because.endswith("its controls +0.01 nats")


def test_noise_leaves_open_what_is_specific():
    claim = SpecificClaim(name="c", specific="top", within=0.5)
    assert judge_side_effect(rows(0.1), claim, impacts(noise=1.0), 0.05).verdict == "inconclusive"
