"""Claims that are made of some of the prompts alone."""

import pytest

from harness.specs.claims import in_words
from harness.specs.parts import faults_of_parts, uneven
from harness.specs.reach import units_of
from tests.helpers.specs import behaviour_plan, behaviour_spec, family_lines

MOVED = {"name": "moved", "behaviour": "logit_difference", "direction": "greater"}


def tagged(families=8, **more):
    return [
        line | {"tags": {"quantity": line["pair_id"].split("-")[1], **more}}
        for line in family_lines(families)
    ]


def plan_where(where, lines=None):
    claims = (MOVED | {"where": where},)
    return behaviour_plan(objects=lines or tagged(), claims=claims, split={"discovery": 0})


def faults(plan):
    return [(f.what, f.remedy) for f in faults_of_parts(plan, lambda *path: "x.yaml")]


def test_a_part_is_said_and_no_part_changes_no_hash():
    plain, part = (behaviour_spec(claims=(MOVED | more,)) for more in ({}, {"where": {"a": "b"}}))
    assert in_words(part.claims[0]).endswith("is greater than 0 nats, where a is b")
    assert "where" not in in_words(plain.claims[0])
    assert behaviour_spec(claims=(MOVED | {"where": {}},)).hash == plain.hash != part.hash
    assert '"where"' not in plain.canonical()


@pytest.mark.parametrize(
    "where, said",
    [
        ({"quantity": "rate"}, None),
        ({"quanttiy": "rate"}, ("no prompt has a tag 'quanttiy'", "did you mean 'quantity'?")),
        ({"quantity": "rat"}, ("no prompt has the quantity 'rat'", "did you mean 'rate'?")),
        (
            {"quantity": "rate", "half": "no"},
            ("no prompt has all these tags", "name fewer, or other values"),
        ),
    ],
)
def test_a_part_that_no_prompt_belongs_to_is_refused(where, said):
    lines = tagged()
    for line in lines:
        line["tags"]["half"] = "yes" if line["tags"]["quantity"] == "rate" else "no"
    assert faults(plan_where(where, lines)) == ([said] if said else [])


def test_a_tag_that_parts_a_pair_is_refused():
    lines = [line | {"tags": {"side": line["label"]}} for line in family_lines()]
    ((what, remedy),) = faults(plan_where({"side": "correct"}, lines))
    assert what == "the two variants of pair '0-velocity' differ in their side"
    assert remedy == "name a tag that both variants of a pair share"


def test_words_that_do_not_cancel_in_a_part_are_named():
    (note,) = uneven(plan_where({"quantity": "rate"}))
    assert "moved is made of prompts in which words do not cancel" in note
    # Eight families of two variants: each is right 16 times and never wrong, and the reverse.
    assert "'not zero' +16, 'zero' -16" in note
    lines = tagged()
    for line in lines:
        if line["family"] in ("f0", "f1", "f2", "f3"):
            other = {"velocity": "rate", "rate": "velocity"}
            line["tags"] = {"quantity": other[line["tags"]["quantity"]]}
    assert uneven(plan_where({"quantity": "rate"}, lines)) == []
    assert uneven(plan_where({})) == []
    for more in ({"contrast": True}, {"beyond": "baseline"}):
        claims = (MOVED | more | {"where": {"quantity": "rate"}},)
        assert uneven(behaviour_plan(objects=tagged(), claims=claims)) == []


def test_a_part_has_the_units_of_its_families_alone():
    lines = tagged(6) + [line | {"tags": {"quantity": "none"}} for line in tagged(9)[24:]]
    plan = plan_where({"quantity": "rate"}, lines)
    assert units_of(plan, plan.spec.claims[0]) == 6
    assert (
        units_of(
            behaviour_plan(objects=lines, claims=(MOVED,), split={"discovery": 0}),
            plan.spec.claims[0].model_copy(update={"where": {}}),
        )
        == 9
    )
