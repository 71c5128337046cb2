"""Shortcut scores: they find what was planted, are at chance where nothing was, and equal slow algebra."""

import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from harness.analysis.shortcut_checks import shortcut_findings
from harness.analysis.shortcuts import ShortcutScore, margins_of, shortcut_scores
from harness.specs.prompt import pairs_of
from harness.specs.prompt_pairs import complete

WORDS = [f"w{i}" for i in range(40)]
ANSWERS = ("zero", "east")


def prompts(families=20, per_family=4, plant=None, tags=None, seed=1):
    """Pairs of random scenes; each answer is right as often as wrong, unless `plant` changes a pair.

    `plant` is given (family, pair, scene, noun, answers) and gives both variants' prompts and answers.
    """
    source = random.Random(seed)
    lines = []
    for family in range(families):
        scene = source.sample(WORDS, 6)
        flip = source.randrange(2)
        for number in range(per_family):
            noun = ("speed", "rate")[number % 2]
            answers = ANSWERS[:: 1 if (number + flip) % 2 else -1]
            text = f"{' '.join(scene)} number{number} {noun} is"
            both = [(text, answers[0]), (text, answers[1])]
            if plant:
                both = plant(family, number, scene, noun, answers, source)
            lines += [
                {
                    "id": f"{family}-{number}-{label}",
                    "pair_id": f"{family}-{number}",
                    "family": f"f{family:02}",
                    "label": label,
                    "prompt": prompt,
                    "answer": answer,
                    "expected_correct_answer": both[0][1],
                    "foil": next(one for one in ANSWERS if one != both[0][1]),
                    "tags": {"quantity": noun} | (tags(family, number) if tags else {}),
                }
                for label, (prompt, answer) in zip(("correct", "misconception"), both, strict=True)
            ]
    found, faults = complete("-", list(enumerate(lines, 1)), balanced=False)
    assert not faults
    return found


def a_longer_one(family, number, scene, noun, answers, source):
    """The positive variant says something random more; neither answer tells."""
    more = "".join(source.choice("abcdefgh") for _ in range(9))
    less = "".join(source.choice("abcdefgh") for _ in range(3))
    return [(f"{' '.join(scene)} {word} {number} is", answers[0]) for word in (more, less)]


def a_likelier_answer(family, number, scene, noun, answers, source):
    text = f"{' '.join(scene)} {number} {noun} is"
    return [(text, "zero"), (text, "east")]


def a_word(family, number, scene, noun, answers, source):
    texts = [f"{' '.join(scene)} {word} {number} is" for word in ("calm", "rash")]
    return [(text, answers[0]) for text in texts]


def a_word_of_the_scene(family, number, scene, noun, answers, source):
    """Where the scene says `moving` the speed is zero, and elsewhere the rate is: each answer is balanced."""
    word = ("moving", "resting")[family % 2]
    right, wrong = ANSWERS[:: 1 if (noun == "speed") == (word == "moving") else -1]
    text = f"{' '.join(scene)} {word} {number} {noun} is"
    return [(text, right), (text, wrong)]


def two_answers_before(family, number, scene, noun, answers, source):
    """The same words in both variants, of which other ones stand in one sentence."""
    texts = ("Its speed is zero. Its rate is east.", "Its rate is zero. Its speed is east.")
    return [(f"{text} {' '.join(scene)} {number} is", answers[0]) for text in texts]


PLANTED = {
    "length": (a_longer_one, {"length"}),
    "answer": (
        a_likelier_answer,
        {"answer x noun", "words", "word pairs", "scene x answer", "scene x noun x answer"},
    ),
    "word": (a_word, {"words", "word pairs", "scene x answer", "scene x noun x answer"}),
    "scene": (a_word_of_the_scene, {"scene x noun x answer"}),
    "pairs": (two_answers_before, {"word pairs"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_is_found_by_the_kinds_that_can_see_it_and_by_no_other(name):
    plant, seen_by = PLANTED[name]
    found = {one.kind: one for one in shortcut_scores(prompts(plant=plant))}
    assert {kind for kind, one in found.items() if one.score > 0.9} == seen_by
    assert all(found[kind].low > 0.6 for kind in seen_by)
    assert all(one.low < 0.5 or kind in seen_by for kind, one in found.items())


def test_where_nothing_is_planted_scores_are_at_chance():
    """On average over files, and in each the interval holds chance: 40 intervals of 95%, and some to spare."""
    found = [one for seed in range(10) for one in shortcut_scores(prompts(seed=seed))]
    assert sum(not one.low <= 0.5 <= one.high for one in found) <= 4
    kinds = {one.kind for one in found}
    assert len(kinds) == 6
    for kind in kinds:
        assert np.mean([one.score for one in found if one.kind == kind]) < 0.56


def slow_scores(found, group_of):
    """Every kind's score by normal equations on dense rows, each group left out by itself."""
    pairs = pairs_of(found)

    def sentences(prompt):
        text = f"{prompt.text} {prompt.answer}".lower()
        for end in (". ", "? ", "! "):
            text = text.replace(end, "\n")
        return text.split("\n")

    def features(prompt):
        words, noun, answer = prompt.text.lower().split(), prompt.tags["quantity"], prompt.answer
        yield from (("words", word) for word in [*words, *answer.lower().split()])
        for sentence in sentences(prompt):
            yield from (("word pairs", two) for two in combinations(sentence.split(), 2))
        yield from (("answer x noun", answer), ("answer x noun", noun, answer))
        for word in set(words):
            yield from (("scene x answer", word, answer),)
            yield from (("scene x noun x answer", word, noun, answer),)

    def lengths(prompt):
        return np.array(
            [
                len(prompt.text) / 5,
                len(prompt.answer) / 5,
                len(prompt.text.split()),
                len(prompt.answer.split()),
            ]
        )

    def rows(kind):
        if kind == "length":
            return np.array([lengths(p.correct) - lengths(p.misconception) for p in pairs])
        names = sorted({f for p in found for f in features(p) if f[0] == kind}, key=str)
        made = np.zeros((len(pairs), len(names)))
        for i, pair in enumerate(pairs):
            for prompt, sign in ((pair.correct, 1), (pair.misconception, -1)):
                for feature in features(prompt):
                    if feature[0] == kind:
                        made[i, names.index(feature)] += sign
        return made

    scores = {}
    for kind in (
        "answer x noun",
        "length",
        "scene x answer",
        "scene x noun x answer",
        "word pairs",
        "words",
    ):
        x, groups = rows(kind), [group_of(pair) for pair in pairs]
        right = {}
        for i, (pair, group) in enumerate(zip(pairs, groups, strict=True)):
            own = x[[other != group for other in groups]]
            weights = np.linalg.solve(own.T @ own + np.eye(x.shape[1]), own.sum(axis=0))
            margin = round(float(x[i] @ weights), 9)
            right.setdefault(pair.family, []).append(0.5 if margin == 0 else float(margin > 0))
        scores[kind] = np.mean([np.mean(some) for some in right.values()])
    return scores


@pytest.mark.parametrize("plant", [None, a_word_of_the_scene, two_answers_before])
def test_scores_are_those_of_plain_normal_equations(plant):
    tags = lambda family, number: {"principle": str(family % 5), "form": str(number)}  # noqa: E731
    found = prompts(families=10, plant=plant, tags=tags)
    scores = {(one.kind, one.left_out): one.score for one in shortcut_scores(found)}
    for name, group_of in (
        ("family", lambda pair: pair.family),
        ("principle", lambda pair: pair.correct.tags["principle"]),
        ("form", lambda pair: pair.correct.tags["form"]),
    ):
        for kind, score in slow_scores(found, group_of).items():
            assert scores[kind, name] == pytest.approx(score, abs=1e-12), (kind, name)


def deciding(found):
    return {one.left_out for one in found if one.decides}


def test_the_coarsest_grouping_of_families_decides_and_a_form_before_it():
    def by(**names):
        return lambda family, number: {
            "topic": str(family % 4),
            "principle": str(family % 5),
            "half": str(family % 2),
            "spot": str(number),
            **({"form": str(number % 2)} if names else {}),
        }

    plain, with_form = (shortcut_scores(prompts(tags=tags)) for tags in (by(), by(form=True)))
    assert deciding(plain) == {"topic"}
    assert {one.left_out for one in plain} == {"topic", "principle", "family"}
    assert deciding(with_form) == {"form"}
    assert {one.folds for one in plain if one.left_out == "family"} == {10}
    assert {one.groups for one in plain if one.left_out == "family"} == {20}
    few = shortcut_scores(prompts(tags=by(form=True)), every=False)
    assert {one.left_out for one in few} == {"form", "family"}
    assert set(few) < set(with_form)


def test_a_trait_in_other_words_of_each_form_is_told_by_families_and_not_by_forms():
    """Each form has its own words, which tell the variants apart where the form was seen."""

    def plant(family, number, scene, noun, answers, source):
        texts = [f"{' '.join(scene)} {word}{number} is" for word in ("calm", "rash")]
        return [(text, answers[0]) for text in texts]

    found = prompts(plant=plant, tags=lambda family, number: {"form": str(number)})
    scores = {one.left_out: one for one in shortcut_scores(found) if one.kind == "words"}
    assert scores["family"].score == 1.0
    assert not scores["family"].decides
    assert scores["form"].score == 0.5
    assert judge(found).faults == ()


def test_without_nouns_and_with_roles_the_kinds_are_others():
    found = prompts(plant=a_word_of_the_scene)
    bare = [replace(p, tags={}) for p in found]
    assert {one.kind for one in shortcut_scores(bare)} == {
        "words",
        "word pairs",
        "scene x answer",
        "length",
    }
    # Each family asks for quantities of its own, of which the role alone says which is which.
    role = {"speed": "level", "rate": "rate"}
    own = [
        replace(p, tags={"quantity": f"{p.tags['quantity']}-{p.family}"} | more)
        for p in found
        for more in [{"role": role[p.tags["quantity"]]}]
    ]
    untold = [replace(p, tags={"quantity": p.tags["quantity"]}) for p in own]

    def of(some):
        kinds = {one.kind: one.score for one in shortcut_scores(some)}
        return kinds["scene x noun x answer"]

    assert of(own) == 1.0
    assert of(untold) < 0.75


def judge(found, allowed=None):
    return shortcut_findings("demo", found, "p.jsonl", allowed, lambda *at: f"demo.yaml:{at[0]}")


def test_what_tells_variants_apart_is_refused_unless_a_reason_is_given():
    found = prompts(plant=a_word)
    (fault,) = judge(found).faults
    assert fault.where == "demo.yaml:prompts"
    assert "variants of p.jsonl are told apart without any model" in fault.what
    assert (
        "scene x answer 1.00, scene x noun x answer 1.00, word pairs 1.00, words 1.00" in fault.what
    )
    assert "20 families left out in 10 parts" in fault.what
    assert '`shortcuts: {allow: "..."}`' in fault.remedy
    allowed = judge(found, "it has to be said")
    assert allowed.faults == ()
    assert any("shortcuts are allowed (it has to be said): " in note for note in allowed.notes)
    (note,) = judge(prompts(), "it has to be said").notes
    assert note.endswith("no deciding score lies above 0.75; drop `shortcuts`")


def test_a_score_between_is_noted_and_so_is_one_below_chance():
    def plant(family, number, scene, noun, answers, source):
        told = number < 2 and family % 5
        words = ("calm", "rash") if told else (f"x{family}{number}", f"y{family}{number}")
        return [(f"{' '.join(scene)} {word} {number} is", answers[0]) for word in words]

    findings = judge(prompts(families=40, plant=plant))
    assert findings.faults == ()
    (note,) = findings.notes
    assert "words 0.70 [0." in note
    assert "without any model, better than chance, 40 families left out in 10 parts" in note

    def opposite(family, number, scene, noun, answers, source):
        words = ("calm", "rash")[:: 1 if family % 3 else -1]
        return [(f"{' '.join(scene)} {word} {number} is", answers[0]) for word in words]

    tags = lambda family, number: {"principle": str(family % 3)}  # noqa: E731
    # One third says it the other way round: what two thirds teach fails there, and they teach each other little.
    findings = judge(prompts(families=30, plant=opposite, tags=tags))
    assert findings.faults == ()
    (note,) = findings.notes
    assert "below chance: what holds in others fails in some, 3 principles left out in turn" in note


def test_few_families_have_no_score_and_load_nothing():
    findings = judge(prompts(families=11, plant=a_word))
    assert (findings.scores, findings.faults, findings.line) == ((), (), "")
    assert findings.notes == ("demo: 11 families are too few for a shortcut score (12)",)
    assert judge(prompts(families=12, plant=a_word)).faults


def test_the_line_has_the_deciding_scores_and_the_strongest_other():
    tags = lambda family, number: {"form": str(number)}  # noqa: E731
    line = judge(prompts(plant=a_word, tags=tags)).line
    assert line.startswith("shortcuts: ")
    assert "words 1.00" in line
    assert "4 forms left out in turn; " in line
    assert line.endswith("1.00, 20 families left out in 10 parts (chance is 0.5)")


def test_prompts_are_scored_once(monkeypatch):
    found = prompts(seed=99)
    first = judge(found).scores
    assert all(isinstance(one, ShortcutScore) for one in first)
    monkeypatch.setattr("harness.analysis.shortcuts.shortcut_scores", None)
    assert judge(list(found)).scores == first
    with pytest.raises(TypeError):
        judge(prompts(seed=98))


def test_margins_are_those_of_a_ridge_with_a_penalty_of_1():
    random = np.random.default_rng(0)
    x, groups = random.normal(size=(24, 30)), np.repeat([f"g{i}" for i in range(6)], 4)
    found = margins_of(x @ x.T, groups, 6)
    for i, group in enumerate(groups):
        own = x[groups != group]
        weights = np.linalg.solve(own.T @ own + np.eye(30), own.sum(axis=0))
        assert found[i] == pytest.approx(x[i] @ weights, abs=1e-10)


def test_more_groups_than_folds_are_left_out_several_at_a_time():
    """The largest first, each whole to the fold of fewest pairs; every fold by a fit of its own."""
    random = np.random.default_rng(1)
    sizes = {"a": 1, "b": 7, "c": 2, "d": 3, "e": 3, "f": 5, "g": 2}
    groups = random.permutation([name for name, size in sizes.items() for _ in range(size)])
    x = random.normal(size=(len(groups), 12))
    found = margins_of(x @ x.T, groups, 3)
    for fold in ("ab", "fg", "cde"):  # 8, 7 and 8 pairs
        out = np.isin(groups, [*fold])
        rest = x[~out]
        weights = np.linalg.solve(rest.T @ rest + np.eye(12), rest.sum(axis=0))
        assert found[out] == pytest.approx(x[out] @ weights, abs=1e-10)
