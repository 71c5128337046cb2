"""The same eval on further splits: its ablations there, disjoint sides, what it asks for, and what is refused."""

import pytest

from harness.specs.claims import in_words
from harness.specs.contradictions import contradictions
from harness.specs.plan_checks import unreachable
from harness.specs.reach import smallest_p_values
from harness.specs.refits import name_of
from harness.specs.trials import limited
from harness.specs.workload import workload
from tests.helpers.specs import behaviour_spec, family_lines, plan_of

TOP = {"name": "top", "select": {"by": "contrast", "top": 2}}
AGAIN = TOP | {"splits": 3}
CLAIM = {"name": "often", "crossfit": "top", "direction": "toward-correct"}


def planned(*ablations, claims=(CLAIM,), families=24, **more):
    spec = behaviour_spec(
        targets={"organism": {"layers": (0, 1)}}, ablations=ablations, claims=claims, **more
    )
    return plan_of(spec, family_lines(families))


def problems(ablation, *others, claims=()):
    targets = {"organism": {"layers": "all"}}
    spec = behaviour_spec(targets=targets, ablations=(ablation, *others), claims=claims or (CLAIM,))
    return [(path[-1], what, remedy) for path, what, remedy in contradictions(spec)]


def test_each_further_split_has_sides_of_its_own_and_the_ablations_that_ask_for_it():
    once = {"name": "once", "select": {"by": "contrast"}}
    twice = {"name": "twice", "select": {"by": "contrast"}, "splits": 2}
    plan = planned(AGAIN, once, twice)
    names = [[one.name for one in refit.ablations] for refit in plan.refits]
    assert names == [["top.split-2", "twice.split-2"], ["top.split-3"]]
    for refit in plan.refits:
        assert {*refit.families("discovery")}.isdisjoint(refit.families("confirmation"))
        assert {*refit.sides} == {*plan.sides}
        assert len(refit.families("discovery")) == len(plan.families("discovery"))
    sides = {one.families("discovery") for one in (plan, *plan.refits)}
    assert len(sides) == 3
    assert planned(AGAIN, once, twice) == plan
    assert planned(once).refits == ()
    other = planned(AGAIN, split={"seed": 7})
    assert not sides & {one.families("discovery") for one in other.refits}


def test_what_is_measured_beside_an_ablation_is_not_measured_again():
    beside = {"doses": (0.0, 2.0), "directions": 3, "baselines": ("probe",), "leave_one_out": True}
    plan = planned(AGAIN | beside | {"tokens": {}})
    alone = planned(TOP)
    (again, _) = (refit.ablations[0] for refit in plan.refits)
    assert again.model_dump() == alone.ablations[0].model_dump() | {"name": "top.split-2"}
    assert again.splits == 1
    assert plan.refits[0].spec.contrast.alpha == plan.spec.contrast.alpha / 2


def test_units_of_a_further_split_are_those_of_its_own_families():
    plan = planned(AGAIN | {"select": {"by": "attribution"}})
    steps = [step for step in plan.steps if step[1] == "top.split-3"]
    assert [stage for stage, _ in steps] == ["attribute", "profile", "predict", "ablate"]
    last = plan.refits[1]
    for stage, side in (("profile", "discovery"), ("ablate", "confirmation")):
        units = plan.units(stage, "top.split-3")
        assert {unit.family for unit in units} == {*last.families(side)}
        assert {unit.ablation for unit in units} == {"top.split-3"}
    ids = [unit.id for stage, name in plan.steps for unit in plan.units(stage, name)]
    assert len({*ids}) == len(ids)
    once = planned(TOP | {"select": {"by": "attribution"}})
    # Families are of one size, and after each of three looks an ablation goes on.
    again = sum(len(once.units(one, "top")) * (3 if one == "ablate" else 1) for one, _ in steps)
    assert plan.n_units == once.n_units + 2 * again
    tokens = [sum(one.tokens for one in workload(made)) for made in (once, plan)]
    assert tokens[1] > 1.9 * tokens[0]


def test_every_text_that_confirms_on_any_split_is_one_that_confirms():
    plan = planned(AGAIN)
    own = {prompt.text for prompt in plan.of("confirmation")}
    every = own.union(*({p.text for p in refit.of("confirmation")} for refit in plan.refits))
    assert plan.confirming == every
    assert len(every) > len(own)
    assert planned(TOP).confirming == own


def test_a_trial_splits_its_own_families_again():
    trial = limited(planned(AGAIN), 3)
    assert len(trial.sides) == 6
    for refit in trial.refits:
        assert {*refit.sides} == {*trial.sides}
        assert {prompt.family for prompt in refit.prompts} == {*trial.sides}


def test_what_is_held_out_of_a_split_is_no_prompt_of_it():
    lines = [
        line | {"tags": {"form": f"f{int(line['family'][1:]) % 6}", "principle": "abcdefgh"[int(line["family"][1:]) % 8]}}
        for line in family_lines(48)
    ]  # fmt: skip
    split = {"by": "principle", "holdout": "form"}
    spec = behaviour_spec(
        targets={"organism": {"layers": (0,)}}, ablations=(AGAIN,), claims=(CLAIM,), split=split
    )
    plan = plan_of(spec, lines)
    for refit in plan.refits:
        assert {prompt.family for prompt in refit.prompts} == {*refit.sides} <= {*plan.sides}
        of = {prompt.family: prompt.tags["principle"] for prompt in refit.prompts}
        sides = [
            {of[one] for one in refit.families(side)} for side in ("discovery", "confirmation")
        ]
        assert sides[0].isdisjoint(sides[1])


def test_one_split_says_what_a_spec_without_the_key_says():
    assert "splits" not in behaviour_spec(ablations=(TOP | {"splits": 1},)).canonical()
    assert '"splits":3' in behaviour_spec(ablations=(AGAIN,)).canonical()
    assert name_of("top", 0) == "top"


def test_a_claim_of_several_splits_is_said_in_words():
    claim = planned(AGAIN).spec.claims[0]
    words = "on half of its splits or more, ablation top moves the answers toward the right answer beyond its matched"
    assert in_words(claim) == f"{words} controls"
    zero = planned(AGAIN, claims=(CLAIM | {"beyond": "zero", "where": {"a": "b"}},)).spec.claims[0]
    assert in_words(zero).endswith("toward the right answer, where a is b")


@pytest.mark.parametrize(
    "ablation, others, claim, key, what",
    [
        (TOP, (), CLAIM, "crossfit", "selected on one split"),
        (AGAIN, (), CLAIM | {"crossfit": "tap"}, "crossfit", "there is no ablation 'tap'"),
        (AGAIN, (), CLAIM | {"metric": "kl"}, "metric", "kl only grows"),
        (AGAIN, (), CLAIM | {"metric": "mass"}, "metric", "moves toward neither"),
        (
            AGAIN | {"select": {"by": "list", "features": {0: (1,)}}}, (), CLAIM, "splits",
            "no families select its features",
        ),
        (AGAIN, (TOP | {"name": "top.split-3"},), CLAIM, "name", "'top.split-3' is what 'top' is called"),
        (AGAIN | {"name": "a" * 75}, (), CLAIM | {"crossfit": "a" * 75}, "name", "more than 80 characters"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(ablation, others, claim, key, what):
    found = problems(ablation, *others, claims=(claim,))
    assert [(at, what in said) for at, said, _ in found] == [(key, True)]
    assert problems(AGAIN) == []


def test_the_smallest_p_is_twice_that_of_the_split_that_is_needed():
    plan = planned(AGAIN | {"controls": 99}, families=12)
    assert smallest_p_values(plan) == {"often": 2 * 2**-5}
    many = planned(AGAIN | {"controls": 50}, families=40)
    assert smallest_p_values(many) == {"often": 2 / 51}


def test_what_cannot_reach_alpha_is_said_before_a_run():
    def said(*ablations, **more):
        plan = planned(*ablations, **more)
        return [(fault.what, fault.remedy) for fault in unreachable(plan, lambda *path: str(path))]

    ((what, remedy),) = said(AGAIN, families=12)
    assert what == "claim 'often' cannot reach alpha 0.05: 6 families can give no p below 0.0625"
    assert "it needs 7 families on the confirming side" in remedy
    assert said(AGAIN, families=14) == []
    ((what, remedy),) = said(AGAIN | {"controls": 38}, families=24)
    assert "among 38 controls can give no p below 0.0513" in what
    assert remedy == "ask for 39 controls"
    assert said(AGAIN | {"controls": 39}, families=24) == []
    assert said(AGAIN | {"controls": 1}, families=24, claims=(CLAIM | {"beyond": "zero"},)) == []


def test_half_of_the_splits_have_to_have_enough_families():
    """A part of the prompts is in more of the confirming families on one split than on another."""
    lines = [
        line | {"tags": {"asked": "yes" if int(line["family"][1:]) < 8 else "no"}}
        for line in family_lines(24)
    ]
    claim = CLAIM | {"beyond": "zero", "where": {"asked": "yes"}}
    spec = behaviour_spec(
        targets={"organism": {"layers": (0,)}}, ablations=(AGAIN,), claims=(claim,)
    )
    plan = plan_of(spec, lines)
    there = [
        len({p.family for p in one.of("confirmation") if p.tags["asked"] == "yes"})
        for one in (plan, *plan.refits)
    ]
    assert len({*there}) > 1
    assert smallest_p_values(plan) == {"often": 2 * 2.0 ** (1 - sorted(there)[1])}
