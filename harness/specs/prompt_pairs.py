"""Lines of a prompt file completed to prompts, each from its pair, with every fault at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations, product
from typing import Any

from harness.errors import Fault, nearest
from harness.specs.likeness import difference, looks_as
from harness.specs.open_pairs import Pairs
from harness.specs.prompt import ALONE, LABELS, Answers, Label, Prompt, Shared, shown
from harness.specs.prompt_families import shared_texts, unbalanced
from harness.specs.prompt_lines import (
    EXPECTED,
    Line,
    faults_of_line,
    members_of,
    messages_of,
    text_of,
)
from harness.specs.prompt_names import Names
from harness.specs.variants import Variants

OLD = Variants()


def complete(
    path: str,
    lines: Iterable[Line],
    *,
    balanced: bool,
    variants: Variants = OLD,
    chat: bool = False,
) -> tuple[tuple[Prompt, ...], list[Fault]]:
    """Prompts in file order from parsed (line number, object) lines, those of the two `variants` alone.

    `answer` defaults to `expected_correct_answer` and `family` to `pair_id`, as in the proof of
    concept's files. With `balanced`, every family must use each answer as often as the positive one as
    it does as the other. Lines of further labels are left aside. No prompt is returned where there is a
    fault. With `chat`, a text is what a user asks. A line is let go as soon as its pair is complete.
    """
    found = Pairs(variants)
    prompts: list[Prompt] = []
    faults: list[Fault] = []
    names, share, sound = Names(path), Shared(), True
    for number, line in lines:
        wrong = [Fault(f"{path}:{number}", *fault) for fault in faults_of_line(line)]
        faults += [*wrong, *names.repeated(number, line)]
        if wrong:
            sound = False
            continue
        faults += names.twins(number, line)
        pair_id, label = line["pair_id"], line["label"]
        if first := found.line_of(pair_id, label):
            what = f"pair '{pair_id}' has a second {label} variant (the first is on line {first})"
            remedy = "give each pair one variant of each label"
            faults.append(Fault(f"{path}:{number}", what, remedy))
        elif compared := found.take(number, line):
            completed, wrong = _pair(path, pair_id, compared, variants, chat, share)
            prompts += completed
            faults += wrong
    for pair_id, of_pair in found.incomplete.items():
        here = any(name in of_pair for name in variants.names)
        # Its partner may be one of the faulty lines.
        if (here or any(map(_near(variants), of_pair))) and (sound or len(of_pair) > 1):
            faults += _incomplete(path, pair_id, of_pair, variants)
    prompts.sort(key=lambda prompt: prompt.line)
    faults += shared_texts(path, prompts)
    if balanced and not faults:
        faults += unbalanced(path, prompts, variants)
    if faults:
        return (), sorted(faults, key=_place)
    return tuple(prompts), []


def _near(variants: Variants) -> Callable[[str], bool]:
    """Whether a label is neither of the names, and looks like a misspelling of one."""
    return lambda label: (
        label not in variants.names and nearest(label, variants.names).startswith("did you mean")
    )


def _incomplete(
    path: str, pair_id: str, of_pair: Mapping[str, Line], variants: Variants
) -> Iterator[Fault]:
    """What is wrong with a pair that lacks a variant: misspelt labels, or nothing but its absence."""
    misspelt = [label for label in of_pair if _near(variants)(label)]
    for label in misspelt:
        what = f"unknown label '{label}'"
        yield Fault(f"{path}:{of_pair[label][0]}", what, nearest(label, variants.names))
    if not misspelt:
        (missing,) = {*variants.names} - {*of_pair}
        (there,) = {*variants.names} & {*of_pair}
        what = f"pair '{pair_id}' has no {missing} variant"
        yield Fault(f"{path}:{of_pair[there][0]}", what, "add its partner")


def _pair(
    path: str,
    pair_id: str,
    compared: Mapping[Label, Line],
    variants: Variants,
    chat: bool,
    share: Shared,
) -> tuple[list[Prompt], list[Fault]]:
    """Both prompts of a pair, completed from each other; none where there is a fault."""
    (first, correct), (second, confused) = (compared[role] for role in LABELS)
    answers, expected = _answers(correct, confused)
    problems = _disagreements(pair_id, correct, confused, answers, expected, variants, chat)
    wrong = {members_of(line, "foil") for line in (correct, confused) if "foil" in line}
    foils = {frozenset(one): one for one in (*sorted(wrong), answers[1])}
    foils.pop(frozenset(answers[0]), None)
    if len(foils) != 1 and not problems:
        how_many = "no" if not foils else "more than one"
        what = f"pair '{pair_id}' has {how_many} {_other_answer(variants)}"
        remedy = f"let the {variants.misconception} variant's answer be it, or give both "
        remedy += "variants the same foil"
        problems.append((what, remedy))
    problems += _alike(pair_id, answers[0], foils.values())
    if problems:
        place = f"{path}:{max(first, second)}"
        return [], [Fault(place, *problem) for problem in problems]
    (foil,) = foils.values()
    return [
        Prompt(
            id=line["id"],
            pair_id=pair_id,
            family=share.text(correct.get("family", pair_id)),
            label=label,
            variant=share.text(line["label"]),
            text=text_of(line),
            chat=messages_of(line, chat),
            answer=share.text(answer[0]),
            correct=share.text(answers[0][0]),
            misconception=share.text(foil[0]),
            further=(answers[0][1:], foil[1:]) if len(answers[0]) + len(foil) > 2 else ALONE,
            line=number,
            tags=share.tags(line.get("tags", {})),
            baseline=line.get("baseline", ""),
        )
        for label, (number, line), answer in zip(
            LABELS, ((first, correct), (second, confused)), answers, strict=True
        )
    ], []


def _answers(
    correct: Mapping[str, Any], confused: Mapping[str, Any]
) -> tuple[tuple[Answers, Answers], tuple[Answers, Answers]]:
    """What each line of a pair answers, and what each expects of the positive one."""
    lines = (correct, confused)
    said = [members_of(line, EXPECTED) for line in lines if EXPECTED in line]
    expected = said[0] if said else members_of(correct, "answer")
    one, other = (members_of(line, EXPECTED) if EXPECTED in line else expected for line in lines)
    first, second = (
        members_of(line, "answer") if "answer" in line else default
        for line, default in zip(lines, (one, other), strict=True)
    )
    return (first, second), (one, other)


def _other_answer(variants: Variants) -> str:
    return "wrong answer" if variants.are_roles else variants.answer("misconception")


def _disagreements(
    pair_id: str,
    correct: Mapping[str, Any],
    confused: Mapping[str, Any],
    answers: tuple[Answers, Answers],
    expected: tuple[Answers, Answers],
    variants: Variants,
    chat: bool,
) -> list[tuple[str, str]]:
    """In what the lines of a pair contradict each other, or themselves."""
    problems = []
    if len({isinstance(line["prompt"], list) for line in (correct, confused)}) > 1 and not chat:
        what = f"one variant of pair '{pair_id}' is a chat and the other is a text"
        what += ", so that a chat template is all of the contrast"
        problems.append((what, "write both as messages, or both as texts"))
    if correct.get("family", pair_id) != confused.get("family", pair_id):
        problems.append((f"pair '{pair_id}' spans two families", "give both variants one family"))
    first, second = (
        (text_of(line), shown(answer))
        for line, answer in zip((correct, confused), answers, strict=True)
    )
    if all(looks_as(one) == looks_as(other) for one, other in zip(first, second, strict=True)):
        what = f"the variants of pair '{pair_id}' are equal" + " to the eye" * (first != second)
        problems.append((what, "let them differ in the prompt or in the answer"))
    if {*answers[0]} != {*expected[0]}:
        one, other = shown(answers[0]), shown(expected[0])
        what = f"the {variants.correct} variant of pair '{pair_id}' answers '{one}' where"
        what += f" '{other}' is expected{_unseen(one, other)}"
        problems.append((what, "make the two the same"))
    if "answer" in confused and {*expected[1]} != {*expected[0]}:
        one, other = map(shown, expected)
        what = f"the variants of pair '{pair_id}' expect '{one}' and '{other}'{_unseen(one, other)}"
        problems.append((what, "give both the same expected_correct_answer"))
    return problems


def _unseen(one: str, other: str) -> str:
    return f", which differ in {difference(one, other)}" if looks_as(one) == looks_as(other) else ""


def _alike(pair_id: str, answer: Answers, foils: Iterable[Answers]) -> Iterator[tuple[str, str]]:
    """An answer that begins the other one is the likelier by construction, or is counted twice."""
    for foil in sorted(foils):
        yield from _same(pair_id, answer, foil)
        for one, other in product(answer, foil):
            if begun := _begins(one, other):
                what = f"the answers '{begun[0]}' and '{begun[1]}' of pair '{pair_id}' begin alike"
                remedy = "let no answer be the beginning of the other: it is the likelier by construction"
                yield what, remedy
    for members in (answer, *foils):
        for one, other in combinations(members, 2):
            if looks_as(one) == looks_as(other) or _begins(one, other):
                what = f"'{one}' and '{other}' of one answer of pair '{pair_id}' begin alike"
                yield (
                    what,
                    "keep one of them: the longer one's probability is part of the shorter one's",
                )


def _same(pair_id: str, answer: Answers, foil: Answers) -> Iterator[tuple[str, str]]:
    for one, other in product(foil, answer):
        if looks_as(one) == looks_as(other):
            yield f"the answers of pair '{pair_id}' look the same: '{one}'", "let them differ"


def _begins(one: str, other: str) -> tuple[str, str] | None:
    """The two where one begins the other, the shorter one first."""
    shorter, longer = sorted((one, other), key=len)
    return (shorter, longer) if longer.startswith(shorter + " ") else None


def _place(fault: Fault) -> tuple[int, str]:
    return int(fault.where.rsplit(":", 1)[1]), fault.what
