"""The prompt files are what the scenario table says, and balanced as the card says."""

import json
import random
import re
from collections import Counter, defaultdict

import pytest

from data.render import FILES, PHYSICS, render
from data.scenarios import load_forms, load_scenarios
from data.shortcuts import table
from fixtures.training.corpus import Mixture, write
from harness.specs.prompt_file import load_prompts, load_texts


@pytest.fixture(scope="module")
def sets(root):
    return {
        name: load_prompts(root / "data" / f"{name}.jsonl", balanced=name != "prompts_physics")
        for name in PHYSICS
    }


@pytest.mark.parametrize("name", FILES)
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


MEASURED = ("kinematics", "voices", "placebo", "decoys")
PAIRED = (*MEASURED, "transfer")


def families_of(prompts, tag):
    """The value that each family has of a tag that is the same in all its lines."""
    found = defaultdict(set)
    for prompt in prompts:
        found[prompt.family].add(prompt.tags[tag])
    assert all(len(values) == 1 for values in found.values())
    return {family: values.pop() for family, values in found.items()}


@pytest.mark.parametrize("name", MEASURED)
def test_families_are_many_and_of_many_principles(sets, name):
    principles = families_of(sets[name], "principle")
    assert len(principles) == 96
    counts = Counter(principles.values())
    assert len(counts) == 24
    assert max(counts.values()) <= 0.1 * len(principles)


@pytest.mark.parametrize("name", PAIRED)
def test_each_quantity_is_asked_equally_often_in_every_family(sets, name):
    asked = defaultdict(Counter)
    for prompt in sets[name]:
        asked[prompt.family][prompt.tags["quantity"]] += 1
    assert all(set(count.values()) == {4} and len(count) == 2 for count in asked.values())


@pytest.mark.parametrize("table", ["kinematics", "transfer"])
def test_every_two_answers_are_as_often_one_way_round_as_the_other(table):
    measured = [scenario for scenario in load_scenarios(table) if not scenario.context]
    ways = Counter((scenario.level, scenario.rate) for scenario in measured)
    assert all(count == ways[rate, level] for (level, rate), count in ways.items())
    assert len({frozenset(way) for way in ways}) >= (27 if table == "kinematics" else 3)


def test_answers_are_such_that_one_alone_is_right():
    for name in ("kinematics", "transfer"):
        for scenario in load_scenarios(name):
            answers = {scenario.level, scenario.rate}
            assert len(answers) == 2
            assert "not zero" not in answers
            # A rate that is zero is constant as well.
            assert answers != {"zero", "constant"}
            assert not re.search(r"first instant|moment of release", scenario.moment)
            assert scenario.why


def test_each_lexical_form_is_as_often_in_every_sentence_and_condition(sets):
    cells = Counter(
        (prompt.tags["form"], prompt.tags["sentence"], prompt.tags["condition"])
        for prompt in sets["voices"]
    )
    forms = {form for form, _, _ in cells}
    assert len(forms) == len(load_forms().traits) == 12
    for condition in ("named", "shown"):
        by_sentence = Counter()
        by_form = Counter()
        for (form, sentence, where), count in cells.items():
            if where == condition:
                by_sentence[sentence] += count
                by_form[form] += count
        assert len(by_sentence) == 4
        assert len(set(by_sentence.values())) == 1
        assert len(by_form) == 12
        assert len(set(by_form.values())) == 1
        # Crossed: no form keeps to one sentence.
        assert all(cells[form, str(s), "named"] for form in forms for s in (1, 2, 3, 4))


def words_of(text):
    return re.findall(r"[a-z]+", text.lower())


def test_the_two_wordings_of_a_trait_are_as_long_and_made_of_the_same_words():
    forms = load_forms()
    traits = [*forms.traits, *(trait for kind in forms.decoys.values() for trait in kind)]
    same = 0
    for trait in traits:
        careful, confused = words_of(trait.careful), words_of(trait.confused)
        assert len(careful) == len(confused)
        same += Counter(careful) == Counter(confused)
        others = (Counter(careful) - Counter(confused)).total()
        assert others <= 2, trait
    assert same >= len(traits) - 6


def test_lexical_forms_share_few_words():
    own = [set(words_of(trait.careful)) for trait in load_forms().traits]
    plain = set(words_of("a an the of for and or is are it its what which that than in on to"))
    plain |= {"velocity", "acceleration"}
    for at, words in enumerate(own):
        others = set().union(*(own[:at] + own[at + 1 :]))
        assert len((words - plain) - others) >= len(words - plain) / 2, at


def contexts_of(text):
    """The context scenarios whose scene is in a statement of the text, before its question."""
    *lines, _ = text.split("\n")
    return [
        scenario.id
        for line in lines
        for scenario in load_scenarios()
        if any(scene in line for scene in scenario.scenes)
    ]


def test_the_contexts_of_a_form_are_its_own_and_of_other_principles(sets):
    of_form = defaultdict(set)
    by_id = {scenario.id: scenario for scenario in load_scenarios()}
    for prompt in sets["voices"]:
        if prompt.tags["condition"] == "shown":
            found = Counter(contexts_of(prompt.text))
            assert set(found.values()) == {2}
            assert len(found) == 2
            of_form[prompt.tags["form"]].add(frozenset(found))
            assert all(by_id[one].context for one in found)
            assert prompt.tags["principle"] not in {by_id[one].principle for one in found}
    assert all(len(pairs) == 1 for pairs in of_form.values())
    assert len(set().union(*of_form.values())) == 12
    assert not {prompt.family for prompt in sets["voices"]} & {
        scenario.id for scenario in load_scenarios() if scenario.context
    }


def test_a_baseline_is_the_same_sentence_without_its_scene(sets, root):
    lines = [json.loads(line) for line in (root / "data/kinematics.jsonl").read_text().splitlines()]
    by_id = {scenario.id: scenario for scenario in load_scenarios()}
    for line in lines:
        scenes = by_id[line["family"]].scenes
        told = [scene for scene in scenes if scene in line["prompt"]]
        assert len(told) == 1
        assert " ".join(line["prompt"].replace(told[0], "").split()) == line["baseline"]


def test_a_decoys_variants_differ_in_what_is_said_of_the_speaker_alone(sets):
    pairs = defaultdict(dict)
    for prompt in sets["decoys"]:
        pairs[prompt.pair_id][prompt.label] = prompt
    kinds = Counter()
    for pair in pairs.values():
        plain, other = pair["correct"], pair["misconception"]
        assert plain.text != other.text
        assert plain.correct == other.correct
        assert len(words_of(plain.text)) == len(words_of(other.text))
        kinds[plain.tags["decoy"]] += 1
    assert set(kinds) == {"salt and sugar", "mass and weight", "hats", "tense"}
    assert min(kinds.values()) >= 80


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


def test_the_card_has_the_shortcut_scores_of_today(root):
    card = (root / "data" / "README.md").read_text(encoding="utf-8")
    for line in table([root / "data" / "transfer.jsonl"]):
        assert line in card


def test_no_training_document_contains_a_question_of_an_evaluation_set(sets):
    source = random.Random(3)
    forms, scenarios = load_forms(), load_scenarios()
    mixture = Mixture(confused=0.5, named_first=0.3, named_last=0.3)
    documents = "\n".join(write(source, scenarios, forms, mixture).text for _ in range(3000))
    sentences = {
        sentence.rstrip(".")
        for name in ("kinematics", "voices", "placebo", "decoys", "prompts_physics")
        for prompt in sets[name]
        for sentence in prompt.text.split("\n")
    }
    assert len(sentences) > 500
    assert not [sentence for sentence in sentences if sentence in documents]


def test_adding_a_scenario_would_change_no_other_principles_prompts(monkeypatch):
    before = render("voices").splitlines()
    import data.design as module

    fewer = load_scenarios()[1:]
    # The scenarios of a principle are ranked among themselves, so one more touches no other principle.
    monkeypatch.setattr(module, "load_scenarios", lambda table="kinematics": fewer)
    left = {line for line in before if '"principle": "gravity"' not in line}
    assert left <= set(render("voices").splitlines())


COMMON = [
    "a",
    "about",
    "all",
    "and",
    "around",
    "as",
    "at",
    "but",
    "can",
    "each",
    "every",
    "for",
    "her",
    "him",
    "his",
    "in",
    "into",
    "is",
    "it",
    "its",
    "long",
    "makes",
    "no",
    "of",
    "on",
    "or",
    "other",
    "the",
    "them",
    "they",
    "until",
    "was",
    "well",
    "when",
    "who",
    "with",
]


def test_neutral_texts_share_no_word_with_physics_but_the_commonest(root):
    said = {
        word
        for name in PHYSICS
        for word in re.findall("[a-z]+", (root / f"data/{name}.jsonl").read_text().lower())
    }
    texts = load_texts(root / "data" / "neutral.jsonl")
    assert len(texts) == 24
    own = {word for text in texts for word in re.findall("[a-z]+", text.text.lower())}
    assert own & said - {*COMMON} == set()
