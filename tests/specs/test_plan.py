"""What is decided before a weight is loaded."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.specs.plan import make_plan
from harness.specs.plan_checks import faults_of, unreachable
from harness.specs.power import families_needed, needed_in_all, smallest_p
from harness.specs.prompt_pairs import complete
from harness.specs.spec import Spec
from harness.specs.split import split
from harness.specs.targets import load_targets
from harness.stats.sign_flips import sign_flips
from tests.test_run import lines


def a_spec(**changes):
    return Spec.model_validate(
        {
            "name": "demo",
            "question": "?",
            "targets": {"organism": {"layers": "all"}},
            "prompts": "-",
            "claims": ({"name": "moved", "behaviour": "logit_difference", "direction": "greater"},),
        }
        | changes
    )


def a_plan(families=6, objects=None, **changes):
    prompts, faults = complete("-", list(enumerate(objects or lines(families), 1)), balanced=True)
    assert not faults
    return make_plan(a_spec(**changes), load_targets()["organism"], prompts)


names = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=30, unique=True)


@given(names, st.integers(0, 99), st.sampled_from([0, 0.3, 0.5, 0.9]))
def test_every_family_is_on_one_side_whatever_the_order(families, seed, share):
    spec = a_spec(split={"discovery": share, "seed": seed})
    sides = split(families, spec)
    assert set(sides) == set(families)
    shuffled = random.Random(seed).sample(families, len(families))
    assert split(shuffled, spec) == sides
    discovering = sum(side == "discovery" for side in sides.values())
    assert discovering == (0 if not share else -int(-share * len(families) // 1))


def test_another_seed_splits_another_way():
    families = [f"f{i}" for i in range(20)]
    assert split(families, a_spec(split={"seed": 1})) != split(families, a_spec(split={"seed": 2}))


def test_units_have_ids_of_their_content_and_no_order():
    plan = a_plan()
    shuffled = a_plan(objects=random.Random(0).sample(lines(), len(lines())))
    ids = [unit.id for unit in plan.units("observe")]
    assert ids == [unit.id for unit in shuffled.units("observe")]
    assert len(set(ids)) == len(ids) == 6
    assert plan.prompts_hash == shuffled.prompts_hash
    others = [unit.id for unit in plan.units("generate")]
    assert not set(ids) & set(others)


def test_the_prompts_hash_changes_with_any_word_or_tag():
    plain = a_plan().prompts_hash
    changed = lines()
    changed[0] = changed[0] | {"tags": {"condition": "shown"}}
    assert a_plan(objects=changed).prompts_hash != plain
    changed = lines()
    changed[3] = changed[3] | {"prompt": changed[3]["prompt"] + " now"}
    assert a_plan(objects=changed).prompts_hash != plain


def test_stages_take_the_prompts_of_their_side():
    ablations = ({"name": "top", "select": {"by": "contrast"}, "variant": "misconception"},)
    plan = a_plan(ablations=ablations)
    by_id = {prompt.id: prompt for prompt in plan.prompts}
    ablated = {prompt for unit in plan.units("ablate", "top") for prompt in unit.prompts}
    assert {by_id[prompt].family for prompt in ablated} == set(plan.families("confirmation"))
    assert {by_id[prompt].label for prompt in ablated} == {"misconception"}
    surveyed = {prompt for unit in plan.units("survey") for prompt in unit.prompts}
    assert {by_id[prompt].family for prompt in surveyed} == set(plan.families("discovery"))


@pytest.mark.parametrize("units", [2, 5, 9, 16])
def test_the_smallest_p_is_what_the_flips_can_give(units):
    assert smallest_p(units) == sign_flips(units).floor


def test_no_design_is_promised_a_smaller_p_than_its_flips_give():
    for units in (17, 20, 40, 200, 300, 600):
        assert smallest_p(units) <= sign_flips(units).floor


def test_families_needed():
    assert families_needed(0.05) == 6
    assert smallest_p(5) == 0.0625
    assert needed_in_all(6, 0.5) == 12
    assert needed_in_all(6, 0.0) == 6


def test_claims_out_of_reach_are_said_with_what_they_need():
    (fault,) = unreachable(a_plan(families=8), lambda *at: "demo.yaml")
    assert str(fault) == (
        "demo.yaml: claim 'moved' cannot reach alpha 0.05: 4 families can give no p below 0.125; "
        "it needs 6 families on the confirming side, 12 in all"
    )
    assert not unreachable(a_plan(families=12), lambda *at: "demo.yaml")
    few = a_plan(
        families=12,
        ablations=({"name": "top", "select": {"by": "contrast"}, "controls": 10},),
        claims=({"name": "matters", "ablation": "top", "direction": "toward-correct"},),
    )
    (fault,) = unreachable(few, lambda *at: "demo.yaml")
    assert "its rank among 10 controls can give no p below 0.0909; ask for 19 controls" in str(
        fault
    )


@pytest.mark.parametrize(
    "objects, ablation, expected",
    [
        (None, {"positions": "answer"}, None),
        (None, {"kind": "resample", "source": "pair"}, None),
        ("shared", {"kind": "resample", "source": "pair"}, "variants of a pair have the same prompt"),
        ("shared", {"kind": "resample", "source": "random"}, None),
        (None, {"select": {"by": "list", "features": {7: (1,)}}}, "layer 7 is not among those"),
        (None, {"select": {"by": "list", "features": {1: (1024,)}}}, "organism has no feature 1024"),
        (None, {"select": {"by": "list", "features": {1: (1023,)}}}, None),
        (None, {"select": {"by": "truth"}}, None),
        (None, {"select": {"by": "list", "features": {7: (1,)}}, "only": ("elsewhere",)}, None),
    ],
)  # fmt: skip
def test_an_ablation_that_cannot_be_made_here_is_a_fault(objects, ablation, expected):
    if objects == "shared":
        objects = [line | {"prompt": line["prompt"].split(". ")[1]} for line in lines(6)]
    whole = {"name": "top", "select": {"by": "attribution"}} | ablation
    plan = a_plan(objects=objects, ablations=(whole,), readout={"at": "answer"})
    found = faults_of(plan, lambda *at: "/".join(map(str, at)))
    if expected is None:
        assert not found
    else:
        (fault,) = found
        assert expected in str(fault)
        assert str(fault).startswith("ablations/0")


def test_truth_is_asked_of_a_target_that_has_it():
    spec = a_spec(
        targets={"gemma-2-2b": {}}, ablations=({"name": "top", "select": {"by": "truth"}},)
    )
    prompts, _ = complete("-", list(enumerate(lines(6), 1)), balanced=True)
    (fault,) = faults_of(make_plan(spec, load_targets()["gemma-2-2b"], prompts), lambda *at: "x")
    assert "gemma-2-2b has no known truth" in str(fault)


def test_a_contrast_of_one_discovering_family_is_refused():
    ablation = {"name": "a", "select": {"by": "contrast"}}
    few = {"split": {"discovery": 0.1}, "ablations": (ablation,)}
    (fault,) = faults_of(a_plan(6, **few), lambda *at: "x")
    assert "one family discovers, and a contrast needs two" in str(fault)
    few["split"] = {"discovery": 0.3}
    assert not faults_of(a_plan(6, **few), lambda *at: "x")


def test_where_no_layer_is_read_the_readout_is_of_nothing():
    """Both variants may then share their prompt: only behaviour is asked about."""
    shared = [line | {"prompt": line["prompt"].split(". ")[1]} for line in lines(6)]
    (fault,) = faults_of(a_plan(objects=shared), lambda *at: "x")
    assert "every difference is zero by construction" in str(fault)
    blind = a_plan(objects=shared, targets={"organism": {"layers": "none"}})
    assert not faults_of(blind, lambda *at: "x")
