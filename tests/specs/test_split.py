"""Families on two sides."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.specs.independence import left_out
from harness.specs.prompt_pairs import complete
from harness.specs.split import split
from tests.helpers.specs import behaviour_plan, behaviour_spec, family_lines

names = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=30, unique=True)


@given(names, st.integers(0, 99), st.sampled_from([0, 0.3, 0.5, 0.9]))
def test_every_family_is_on_one_side_whatever_the_order(families, seed, share):
    spec = behaviour_spec(split={"discovery": share, "seed": seed})
    sides = split(families, spec)
    assert set(sides) == set(families)
    shuffled = random.Random(seed).sample(families, len(families))
    assert split(shuffled, spec) == sides
    discovering = sum(side == "discovery" for side in sides.values())
    assert discovering == (0 if not share else -int(-share * len(families) // 1))


def test_another_seed_splits_another_way():
    families = [f"f{i}" for i in range(20)]
    assert split(families, behaviour_spec(split={"seed": 1})) != split(
        families, behaviour_spec(split={"seed": 2})
    )


def held_out_lines(forms=12, families=36):
    lines = family_lines(families)
    return [
        line | {"tags": {"form": f"f{int(line['family'][1:]) % forms}", "principle": "abc"[at % 3]}}
        for line in lines
        for at in [int(line["family"][1:]) // forms]
    ]


def test_a_third_of_the_forms_is_in_confirming_families_alone():
    lines = held_out_lines()
    form = {line["family"]: line["tags"]["form"] for line in lines}
    principle = {line["family"]: line["tags"]["principle"] for line in lines}
    held = set()
    for seed in range(200):
        plan = behaviour_plan(
            objects=lines,
            split={"strata": "principle", "holdout": "form", "discovery": 0.5, "seed": seed},
        )
        discovering = set(plan.families("discovery"))
        unseen = set(form.values()) - {form[family] for family in discovering}
        assert len(unseen) >= 4
        confirming = {form[family] for family in plan.families("confirmation")}
        assert unseen <= confirming
        # The forms that are not held out discover as often as the share asks for.
        assert len(discovering) == 18
        assert all(sum(principle[f] == one for f in discovering) == 6 for one in "abc")
        held.add(frozenset(unseen))
    assert len(held) > 100


def test_without_a_holdout_no_form_is_kept_from_discovery():
    plan = behaviour_plan(objects=held_out_lines(), split={"discovery": 0.8})
    form = {p.family: p.tags["form"] for p in plan.prompts}
    assert len({form[family] for family in plan.families("discovery")}) == 12


def test_where_principles_are_split_whole_what_is_held_out_of_discovery_is_left_out():
    lines = held_out_lines()
    form = {line["family"]: line["tags"]["form"] for line in lines}
    principle = {line["family"]: line["tags"]["principle"] for line in lines}
    for seed in range(40):
        split = {"by": "principle", "holdout": "form", "discovery": 0.5, "seed": seed}
        plan = behaviour_plan(objects=lines, split=split)
        discovering, confirming = (
            set(plan.families(side)) for side in ("discovery", "confirmation")
        )
        ours, theirs = ({principle[f] for f in side} for side in (discovering, confirming))
        assert not ours & theirs
        # Confirming principles are whole; of each discovering one a third is held out.
        assert confirming == {f for f in principle if principle[f] in theirs}
        assert len(discovering) == 8 * len(ours)
        unseen = {form[f] for f in confirming} - {form[f] for f in discovering}
        assert len(unseen) == 4
        assert {prompt.family for prompt in plan.prompts} == discovering | confirming
        (note,) = left_out(plan, complete("-", list(enumerate(lines, 1)), balanced=True)[0])
        assert f"{4 * len(ours)} families of discovering principles have a form that is" in note
    assert left_out(behaviour_plan(objects=lines), behaviour_plan(objects=lines).prompts) == []


def test_a_holdout_by_a_tag_that_a_family_has_twice_is_refused():
    lines = held_out_lines()
    lines[0]["tags"]["form"] = "another"
    with pytest.raises(InputError, match=r"`split: \{holdout: ...\}` keeps families whole"):
        behaviour_plan(objects=lines, split={"holdout": "form"})
