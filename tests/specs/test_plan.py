"""What a plan is made of: prompts, sides and units with ids of their content."""

import random

from tests.helpers.specs import behaviour_plan, family_lines


def test_units_have_ids_of_their_content_and_no_order():
    plan = behaviour_plan()
    shuffled = behaviour_plan(objects=random.Random(0).sample(family_lines(), len(family_lines())))
    ids = [unit.id for unit in plan.units("observe")]
    assert ids == [unit.id for unit in shuffled.units("observe")]
    assert len(set(ids)) == len(ids) == 6
    assert plan.prompts_hash == shuffled.prompts_hash
    others = [unit.id for unit in plan.units("generate")]
    assert not set(ids) & set(others)


def test_the_prompts_hash_changes_with_any_word_or_tag():
    plain = behaviour_plan().prompts_hash
    changed = family_lines()
    changed[0] = changed[0] | {"tags": {"condition": "shown"}}
    assert behaviour_plan(objects=changed).prompts_hash != plain
    changed = family_lines()
    changed[3] = changed[3] | {"prompt": changed[3]["prompt"] + " now"}
    assert behaviour_plan(objects=changed).prompts_hash != plain


def test_stages_take_the_prompts_of_their_side():
    ablations = ({"name": "top", "select": {"by": "contrast"}, "variant": "misconception"},)
    plan = behaviour_plan(ablations=ablations)
    by_id = {prompt.id: prompt for prompt in plan.prompts}
    ablated = {prompt for unit in plan.units("ablate", "top") for prompt in unit.prompts}
    assert {by_id[prompt].family for prompt in ablated} == set(plan.families("confirmation"))
    assert {by_id[prompt].label for prompt in ablated} == {"misconception"}
    surveyed = {prompt for unit in plan.units("survey") for prompt in unit.prompts}
    assert {by_id[prompt].family for prompt in surveyed} == set(plan.families("discovery"))
