"""The prompt files are what the scenario table says, and balanced as the card says."""

import random
import re
from collections import Counter, defaultdict

import pytest

from data.render import SETS, render
from data.scenarios import load_forms, load_scenarios
from fixtures.training.corpus import Mixture, write
from harness.specs.prompt_file import load_prompts


@pytest.fixture(scope="module")
def sets(root):
    return {
        name: load_prompts(root / "data" / f"{name}.jsonl", balanced=name != "prompts_physics")
        for name in SETS
    }


@pytest.mark.parametrize("name", SETS)
def test_a_committed_file_is_what_the_table_gives(root, name):
    assert (root / "data" / f"{name}.jsonl").read_text(encoding="utf-8") == render(name)


def test_the_pilot_has_the_proof_of_concepts_shape(sets):
    pilot = sets["prompts_physics"]
    assert len(pilot) == 22
    assert len({prompt.family for prompt in pilot}) == 11
    assert all(re.fullmatch(r"vel_accel_\d\d[ab]", prompt.id) for prompt in pilot)
    texts = defaultdict(set)
    for prompt in pilot:
        texts[prompt.pair_id].add(prompt.text)
    assert all(len(distinct) == 1 for distinct in texts.values())


def test_prompt_sets_have_the_families_and_pairs_that_their_power_needs(sets):
    families = {name: {prompt.family for prompt in found} for name, found in sets.items()}
    assert len(families["kinematics"]) >= 36
    assert len(families["voices"]) >= 36
    assert families["voices"] == families["placebo"]
    for name in ("kinematics", "voices", "placebo", "transfer"):
        pairs = Counter(prompt.family for prompt in sets[name] if prompt.label == "correct")
        assert min(pairs.values()) >= 8, name


def test_each_quantity_is_asked_equally_often_in_every_family(sets):
    for name in ("kinematics", "voices", "placebo", "transfer"):
        asked = defaultdict(Counter)
        for prompt in sets[name]:
            asked[prompt.family][prompt.tags["quantity"]] += 1
        assert all(len(set(count.values())) == 1 and len(count) == 2 for count in asked.values())


def contexts_of(text):
    """The context families whose scene begins a statement of the text, before its question."""
    *lines, _ = text.split("\n")
    return [
        scenario.id
        for line in lines
        for scenario in load_scenarios()
        if line.startswith(scenario.scenes)
    ]


def test_contexts_are_used_equally_often_in_every_family(sets):
    for name, times in (("voices", 2), ("placebo", 4)):
        used = defaultdict(Counter)
        for prompt in sets[name]:
            if name == "placebo" or prompt.label == "correct":
                used[prompt.family].update(contexts_of(prompt.text))
        contexts = {scenario.id for scenario in load_scenarios() if scenario.context}
        for family, count in used.items():
            assert set(count) == contexts, family
            assert set(count.values()) == {times}, (name, family, count)
            assert family not in contexts


def test_shown_voices_differ_in_their_answers_alone(sets):
    pairs = defaultdict(dict)
    for prompt in sets["voices"]:
        if prompt.tags["condition"] == "shown":
            pairs[prompt.pair_id][prompt.label] = prompt.text.split("\n")
    swapped = {(s.level, s.rate) for s in load_scenarios()}
    for pair in pairs.values():
        assert pair["correct"][-1] == pair["misconception"][-1]
        for right, wrong in zip(pair["correct"][:-1], pair["misconception"][:-1], strict=True):
            assert right != wrong
            assert any(
                (right.endswith(f" {a}.") and wrong.endswith(f" {b}."))
                or (right.endswith(f" {b}.") and wrong.endswith(f" {a}."))
                for a, b in swapped
            )


def test_no_training_document_contains_a_question_of_an_evaluation_set(sets):
    source = random.Random(3)
    forms, scenarios = load_forms(), load_scenarios()
    mixture = Mixture(confused=0.5, named_first=0.3, named_last=0.3)
    documents = "\n".join(write(source, scenarios, forms, mixture).text for _ in range(3000))
    sentences = {
        sentence.rstrip(".")
        for name in ("kinematics", "voices", "placebo", "prompts_physics")
        for prompt in sets[name]
        for sentence in prompt.text.split("\n")
    }
    assert len(sentences) > 500
    assert not [sentence for sentence in sentences if sentence in documents]


def test_adding_a_scenario_would_change_no_other_familys_prompts(monkeypatch):
    before = render("voices").splitlines()
    import data.render as module

    fewer = load_scenarios()[1:]
    monkeypatch.setattr(module, "load_scenarios", lambda table="kinematics": fewer)
    assert set(render("voices").splitlines()) < set(before)
