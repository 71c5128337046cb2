"""What each claim is held against, on made-up results."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.run_analysis import Analysis, FeatureResult
from harness.analysis.units import Units
from harness.analysis.verdicts import verdicts
from harness.specs.prompt import pairs_of
from harness.stats import SimultaneousEquivalence
from harness.stats.max_t import MaxT
from tests.helpers.specs import behaviour_plan

ABLATIONS = ({"name": "top", "select": {"by": "contrast"}, "controls": 20},)


def verdict(
    claim,
    families=12,
    moved=1.0,
    p_adjusted=(),
    impact=0.0,
    controls=0.0,
    truth=None,
    device_noise=0.0,
    sets=20,
    mass=None,
    within=None,
    **more,
):
    plan = behaviour_plan(families, ablations=ABLATIONS, claims=({"name": "c", **claim},))
    pairs = pairs_of(plan.of("confirmation"))
    random = np.random.default_rng(0)
    behaviour = {}
    order = sorted({pair.family for pair in pairs})
    for pair in pairs:
        noise = 0 if isinstance(moved, dict) else random.normal(0, 0.1)
        shift = moved[order.index(pair.family)] if isinstance(moved, dict) else moved
        for prompt, sign in ((pair.correct, 1), (pair.misconception, 0)):
            value = sign * shift + noise
            behaviour[prompt.id] = {"logit_difference": value, "log_p_correct": value}
    units = Units.by_family([pair.family for pair in pairs])
    n = len(p_adjusted)
    test = MaxT(np.array(p_adjusted), np.zeros(n), np.zeros(n), units.n, 99, True, 0.01)
    result = AblationImpacts(
        plan.spec.ablations[0],
        impact + random.normal(0, 0.1, len(pairs)),
        controls + random.normal(0, 0.1, (sets, len(pairs))),
        units,
        noise=device_noise,
        mass=None if mass is None else np.outer([mass[0]] + [mass[1]] * sets, np.ones(len(pairs))),
        **more,
    )
    names = tuple((0, i) for i in range(n))
    features = FeatureResult(names, test if n else None, units, within or {})
    analysis = Analysis(plan, pairs, behaviour, {"family": features}, {"top": result}, ())
    (found,) = verdicts(analysis, truth, "r")
    return found


@pytest.mark.parametrize("variant, impact", [("misconception", 2.0), ("correct", -2.0)])
def test_a_share_is_of_the_way_to_the_other_variant(variant, impact, monkeypatch):
    """Moved by 4 nats between the variants: from either of them, half of the way is 2."""
    monkeypatch.setitem(ABLATIONS[0], "variant", variant)
    found = verdict({"share": "top", "than": 0.3}, moved=4.0, impact=impact)
    assert found.verdict == "supported"
    assert found.estimate == pytest.approx(0.5, abs=0.05)
    assert verdict({"share": "top", "than": 0.3}, moved=4.0, impact=-impact).verdict == "refuted"


MOVED = {"behaviour": "logit_difference", "contrast": True, "direction": "greater"}


@pytest.mark.parametrize(
    "claim, results, expected",
    [
        (MOVED, {"moved": 1.0}, "supported"),
        (MOVED, {"moved": -1.0}, "refuted"),
        (MOVED | {"direction": "less"}, {"moved": -1.0}, "supported"),
        (MOVED | {"than": 2.0}, {"moved": 1.0}, "refuted"),
        (MOVED, {"moved": 1.0, "families": 10}, "untestable"),
        ({"behaviour": "logit_difference", "direction": "greater"}, {"moved": 1.0}, "supported"),
        ({"behaviour": "logit_difference", "direction": "greater"}, {"moved": 0.01}, "inconclusive"),
        ({"behaviour": "logit_difference", "contrast": True, "within": 0.5}, {"moved": 0.1}, "supported"),
        ({"behaviour": "logit_difference", "contrast": True, "within": 0.5}, {"moved": 0.6}, "refuted"),
        ({"behaviour": "logit_difference", "within": 0.01}, {"moved": 0.0}, "inconclusive"),
    ],
)  # fmt: skip
def test_a_claim_about_behaviour_is_drawn_from_its_interval_and_its_flips(claim, results, expected):
    assert verdict(claim, **results).verdict == expected


@pytest.mark.parametrize(
    "claim, p_adjusted, expected",
    [
        ({"at_least": 2}, (0.01, 0.05, 0.3), "supported"),
        ({"at_least": 3}, (0.01, 0.05, 0.3), "inconclusive"),
        ({"at_most": 0, "guard": True}, (0.06, 0.3), "held"),
        ({"at_most": 0, "guard": True}, (0.04, 0.3), "broken"),
        ({"at_most": 1}, (0.04, 0.3), "held"),  # as in a file of before there were guards
    ],
)
def test_a_claim_about_features_counts_those_whose_adjusted_p_is_at_most_alpha(
    claim, p_adjusted, expected
):
    found = verdict({"features": "significant", **claim}, p_adjusted=p_adjusted)
    assert found.verdict == expected
    assert found.estimate == sum(p <= 0.05 for p in p_adjusted)


@pytest.mark.parametrize(
    "inside, outside, at_most, expected",
    [
        ((0.01, 0.01, 0.01), (1, 1, 1), 0, "supported"),
        ((0.01, 0.06, 0.01), (1, 1, 1), 0, "inconclusive"),
        ((0.01, 0.06, 0.01), (1, 1, 1), 1, "supported"),
        ((0.01, 1.0, 0.01), (1, 0.01, 1), 0, "refuted"),
        ((0.01, 1.0, 0.01), (1, 0.01, 1), 1, "supported"),
        ((1.0, 1.0, 0.01), (0.01, 0.01, 1), 1, "refuted"),
        ((1.0, 1.0, 0.01), (0.06, 0.01, 1), 1, "inconclusive"),
    ],
)
def test_that_few_features_differ_is_shown_by_all_others_lying_inside(
    inside, outside, at_most, expected
):
    """Where each of them is not significant: that alone shows nothing."""
    claim = {"features": "significant", "at_most": at_most, "margin": 0.5}
    flag = np.full(3, "")
    same = SimultaneousEquivalence(
        np.zeros(3), np.array(inside, float), np.array(outside, float), 6, flag
    )
    found = verdict(claim, p_adjusted=(0.5, 0.5, 0.5), within={0.5: same})
    assert found.verdict == expected
    assert found.estimate == sum(p > 0.05 for p in inside)
    assert "margin 0.5 d_z, simultaneous 95% intervals" in found.because
    silent = dataclasses.replace(same, flag=np.full(3, "all-zero"))
    assert verdict(claim, p_adjusted=(1, 1, 1), within={0.5: silent}).verdict == "untestable"


@pytest.mark.parametrize("impact", [1.0, -1.0])
def test_a_verdict_names_the_features_that_its_selection_could_not_order(impact):
    claim = {"ablation": "top", "direction": "toward-correct", "beyond": "controls"}
    said = "consistency cannot order 2:5: 7 features tie at its largest value"
    plain, found = (verdict(claim, impact=impact, ceiling=ceiling) for ceiling in ("", said))
    assert f"; {said}" in found.because
    assert dataclasses.replace(found, because=found.because.replace(f"; {said}", "")) == plain


def test_a_null_claim_of_too_few_families_is_untestable_not_supported():
    claim = {"features": "significant", "at_most": 0}
    assert verdict(claim, families=10, p_adjusted=(0.5,)).verdict == "untestable"


@pytest.mark.parametrize("bound", [{"at_least": 1}, {"at_most": 0}])
def test_no_active_feature_supports_nothing(bound):
    found = verdict({"features": "significant", **bound}, p_adjusted=())
    assert found.verdict == "untestable"
    assert found.because == "no feature is active on the confirming families"


def test_flips_and_interval_must_agree():
    """Six families that all agree, one of them by far the most: flips reject, the interval holds 0."""
    moved = dict.fromkeys(range(6), 0.1) | {0: 30.0}
    found = verdict(MOVED, moved=moved)
    assert found.p <= 0.05
    assert found.ci_low < 0 < found.ci_high
    assert found.verdict == "inconclusive"
    assert "the interval holds 0" in found.because


def test_a_verdict_that_one_family_carries_is_inconclusive():
    """Flips and interval of all reject; without one of them the interval of the others holds 0."""
    moved = {i: 0.4 + 0.03 * i for i in range(8)}
    assert verdict(MOVED, moved=moved, families=16).verdict == "supported"
    moved = dict(enumerate([0.02, 0.05, 0.9, 0.04, 0.02, 0.75, 0.9, 0.8]))
    values = np.array(list(moved.values()))
    found = verdict(MOVED, moved=moved, families=16)
    carried = [
        i
        for i in range(8)
        for rest in [np.delete(values, i)]
        for half in [scipy.stats.t.ppf(0.975, 6) * rest.std(ddof=1) / np.sqrt(7)]
        if rest.mean() - half <= 0
    ]
    assert carried
    assert found.p <= 0.05
    assert found.ci_low > 0
    assert found.verdict == "inconclusive"
    names = sorted(behaviour_plan(16, ablations=ABLATIONS).families("confirmation"))
    assert found.because.endswith(f"but one family carries it: {names[min(carried)]}")


def test_equivalence_asks_the_flips_as_well():
    """Six families inside the margin, of which one lies far outside: the interval alone would be content."""
    claim = {"behaviour": "logit_difference", "contrast": True, "within": 1.0}
    found = verdict(claim, moved=dict(enumerate([0.1, -0.1, 0.2, 0.0, -0.2, 0.1])))
    assert found.verdict == "supported"
    assert found.p >= 2.0**-6
    assert (
        verdict(claim, moved=dict(enumerate([0.1, 0.2, 0.3])), families=6).verdict == "untestable"
    )
    outside = verdict(claim, moved=dict(enumerate([2.1, 2.2, 2.3, 1.9, 2.0, 2.1])))
    assert outside.verdict == "refuted"
    assert outside.p == 2 * 2.0**-6


def test_equivalence_of_what_never_varies_is_untestable():
    """Zero impact everywhere may be an edit that was never made."""
    claim = {"behaviour": "logit_difference", "contrast": True, "within": 0.5}
    found = verdict(claim, moved=dict.fromkeys(range(6), 0.0))
    assert found.verdict == "untestable"
    assert "exactly the same" in found.because


def test_a_claim_about_known_features_counts_those_of_the_truth_alone():
    claim = {"features": "truth", "at_least": 1}
    p = (0.01, 0.01, 0.6)
    assert verdict(claim, p_adjusted=p, truth={(0, 1), (3, 3)}).estimate == 1
    assert verdict(claim, p_adjusted=p, truth={(0, 2)}).verdict == "inconclusive"
    assert verdict(claim, p_adjusted=p, truth=None).verdict == "untestable"


TOWARD = {"ablation": "top", "direction": "toward-correct"}


@pytest.mark.parametrize(
    "claim, results, expected",
    [
        (TOWARD, {"impact": 1.0}, "supported"),
        (TOWARD, {"impact": 1.0, "controls": 1.0}, "inconclusive"),
        (TOWARD, {"impact": -1.0, "families": 16}, "refuted"),
        # With six families no p is below a third of .05: the other way cannot be shown.
        (TOWARD, {"impact": -1.0}, "inconclusive"),
        # It moves the wrong way, and less so than its controls do.
        (TOWARD, {"impact": -4.5, "controls": -5.0, "families": 16}, "refuted"),
        (TOWARD, {"impact": -4.5, "controls": -5.0}, "inconclusive"),
        # Any two sets differ: that others do more refutes nothing but where nearly all of many do.
        (TOWARD, {"impact": 1.0, "controls": 2.0, "families": 16}, "inconclusive"),
        (TOWARD, {"impact": 1.0, "controls": 2.0, "families": 16, "sets": 99}, "refuted"),
        (TOWARD, {"impact": 0.0, "controls": -1.0, "families": 16}, "inconclusive"),
        (TOWARD | {"direction": "toward-misconception"}, {"impact": -1.0}, "supported"),
        (TOWARD | {"beyond": "zero"}, {"impact": 1.0, "controls": 1.0}, "supported"),
        (TOWARD, {"impact": 1.0, "families": 10}, "untestable"),
        ({"ablation": "top", "within": 0.5}, {"impact": 0.1}, "supported"),
        ({"ablation": "top", "within": 0.5}, {"impact": 1.0}, "refuted"),
        # What both do alike is still done: the difference alone is no absence of an effect.
        ({"ablation": "top", "within": 0.5}, {"impact": 1.0, "controls": 1.0}, "refuted"),
        ({"ablation": "top", "within": 0.5}, {"impact": 0.0, "controls": 1.0}, "refuted"),
        ({"ablation": "top", "within": 0.5}, {"impact": 0.5}, "inconclusive"),
    ],
)
def test_a_claim_about_an_ablation_is_drawn_from_its_impact_beside_its_controls(
    claim, results, expected
):
    assert verdict(claim, **results).verdict == expected


def test_an_impact_that_does_not_outrank_its_controls_is_not_enough():
    """A small shift beyond the controls' mean, while one of them moves much more."""
    controls = np.zeros((20, 1))
    controls[:2] = 5.0
    found = verdict(TOWARD, impact=2.0, controls=controls)
    assert found.verdict == "inconclusive"
    assert "rank p 0.14 of 20 controls" in found.because
    assert found.p == 3 / 21


def test_which_part_of_a_claim_is_not_shown_is_said():
    because = verdict(TOWARD, impact=0.0, controls=-1.0).because
    assert "not shown: its own impact; of its 20 controls" in because
    assert "by itself " in because
    because = verdict(TOWARD, impact=1.0, controls=1.0).because
    assert "not shown: beyond its controls, its rank; of its 20 controls" in because
    because = verdict(TOWARD, impact=1.0, controls=2.0, sets=99).because
    assert "the other way: its rank; of its 99 controls" in because
    both = verdict({"ablation": "top", "within": 0.5}, impact=1.0, controls=1.0)
    assert (both.verdict, round(both.estimate)) == ("refuted", 1)
    assert "by itself; beside its controls" in both.because


def test_a_part_that_points_the_other_way_has_no_small_p():
    """The p of a claim is that of the part that is least shown in the claimed direction."""
    assert verdict(TOWARD, impact=-1.0).p == 1
    other = verdict(TOWARD, impact=-1.0, families=16)
    assert other.verdict == "refuted"
    assert other.p == 3 * 2 / 2**8


def test_the_p_of_a_supported_ablation_is_the_larger_of_its_two():
    found = verdict(TOWARD, impact=1.0)
    assert found.verdict == "supported"
    assert found.p == 1 / 21 > found.floor


OWN_IMPACT = {"ablation": "top", "direction": "toward-correct", "beyond": "zero"}


@pytest.mark.parametrize(
    "claim, impact, noise, expected",
    [
        (OWN_IMPACT, 1.0, 0.0, "supported"),
        (OWN_IMPACT, 1.0, 0.5, "supported"),
        (OWN_IMPACT, 1.0, 0.99, "inconclusive"),
        (OWN_IMPACT, -1.0, 0.5, "refuted"),
        (OWN_IMPACT, -1.0, 0.99, "inconclusive"),
        (OWN_IMPACT, 0.0, 0.5, "inconclusive"),
        # Against controls two impacts are compared, and either may be off.
        (OWN_IMPACT | {"beyond": "controls"}, 1.0, 0.3, "supported"),
        (OWN_IMPACT | {"beyond": "controls"}, 1.0, 0.6, "inconclusive"),
        ({"ablation": "top", "within": 0.5}, 0.0, 0.1, "supported"),
        ({"ablation": "top", "within": 0.5}, 0.0, 0.5, "inconclusive"),
        ({"ablation": "top", "within": 0.5}, 1.0, 0.1, "refuted"),
        ({"ablation": "top", "within": 0.5}, 1.0, 0.5, "inconclusive"),
    ],
)
def test_what_is_not_clear_of_the_devices_noise_is_inconclusive(claim, impact, noise, expected):
    found = verdict(claim, impact=impact, device_noise=noise)
    assert found.verdict == expected, found
    is_held_back = verdict(claim, impact=impact).verdict != expected
    assert is_held_back == ("device's noise" in found.because)


@pytest.mark.parametrize("beyond", ["zero", "controls"])
@pytest.mark.parametrize(
    "mass, keeps, expected",
    [
        ((-0.5, 0.0), 1.0, "supported"),
        ((-3.0, -2.5), 1.0, "supported"),  # as its controls do
        ((-3.0, 0.0), 1.0, "inconclusive"),
        ((-3.0, 0.0), 4.0, "supported"),
        ((3.0, 0.0), 1.0, "supported"),
        (None, 1.0, "supported"),
    ],
)
def test_answers_that_are_destroyed_are_not_repaired(beyond, mass, keeps, expected):
    claim = TOWARD | {"beyond": beyond, "keeps": keeps}
    found = verdict(claim, impact=2.0, mass=mass)
    assert found.verdict == expected
    assert ("the answers were destroyed" in found.because) == (expected == "inconclusive")
    if expected == "inconclusive":
        assert "moves by -3 nats, -3 beyond its controls, and may fall by 1" in found.because


def test_a_target_without_features_like_it_is_untestable():
    found = verdict(TOWARD, impact=2.0, balance={"edit size": 0.9, "firing rate": 0.1})
    assert found.verdict == "untestable"
    assert found.because == "no features like these, controls lie apart: edit size +0.90 sd"
    named = verdict(TOWARD, impact=2.0, balance={"edit size": -0.4})
    assert named.verdict == "supported"
    assert "which lie apart in edit size -0.40 sd" in named.because
    alone = verdict(TOWARD | {"beyond": "zero"}, impact=2.0, balance={"edit size": 0.9})
    assert alone.verdict == "supported"


def test_controls_that_a_look_left_out_are_told():
    found = verdict(TOWARD, impact=0.0, planned=99)
    assert "of 20 controls, where the other 79 could show nothing" in found.because
