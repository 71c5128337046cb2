"""Lines of a prompt file completed to prompts, each from its pair, with every fault at once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import Fault, first_few, nearest
from harness.specs.likeness import difference, looks_as, named_as, reads_as
from harness.specs.prompt import LABELS, Prompt
from harness.specs.text_file import is_whole

REQUIRED = ("id", "pair_id", "label", "prompt", "expected_correct_answer")
OPTIONAL = ("answer", "family", "foil", "tags", "baseline")
Line = tuple[int, Mapping[str, Any]]


def complete(
    path: str, lines: Sequence[Line], *, balanced: bool
) -> tuple[tuple[Prompt, ...], list[Fault]]:
    """Prompts in file order from parsed (line number, object) lines.

    `answer` defaults to `expected_correct_answer` and `family` to `pair_id`, as in the proof of
    concept's files. With `balanced`, every family must use each answer as often as the right one as
    it does as the wrong one. No prompt is returned where there is a fault.
    """
    faults: list[Fault] = []
    good: list[Line] = []
    for number, line in lines:
        wrong = [Fault(f"{path}:{number}", *fault) for fault in _faults_of_line(line)]
        faults += wrong
        if not wrong:
            good.append((number, line))
    faults += _duplicates(path, lines)
    faults += _twins(path, good)
    pairs: dict[str, dict[str, Line]] = defaultdict(dict)
    for number, line in good:
        variants = pairs[line["pair_id"]]
        if line["label"] in variants:
            faults.append(
                Fault(
                    f"{path}:{number}",
                    f"pair '{line['pair_id']}' has a second {line['label']} variant "
                    f"(the first is on line {variants[line['label']][0]})",
                    "give each pair one variant of each label",
                )
            )
        else:
            variants[line["label"]] = (number, line)
    prompts: list[Prompt] = []
    for pair_id, variants in pairs.items():
        if len(lines) != len(good) and len(variants) < 2:
            continue  # its partner may be one of the faulty lines
        completed, wrong = _pair(path, pair_id, variants)
        prompts += completed
        faults += wrong
    faults += _shared(path, prompts)
    if balanced and not faults:
        faults += _unbalanced(path, prompts)
    if faults:
        return (), sorted(faults, key=_place)
    return tuple(sorted(prompts, key=lambda prompt: prompt.line)), []


def _faults_of_line(line: Mapping[str, Any]) -> list[tuple[str, str]]:
    problems = []
    for name in line:
        if name not in REQUIRED + OPTIONAL:
            problems.append((f"unknown field '{name}'", nearest(name, REQUIRED + OPTIONAL)))
    for name in REQUIRED:
        if name not in line:
            problems.append((f"'{name}' is missing", "add it"))
    for name in (*REQUIRED, "answer", "family", "foil", "baseline"):
        value = line.get(name, "-")
        if not isinstance(value, str):
            problems.append((f"'{name}' is {_kind(value)}", "write a text"))
        elif not is_whole(value):
            problems.append(
                (f"'{name}' holds half of a surrogate pair", "write the whole character")
            )
        elif not any(letter.isprintable() and not letter.isspace() for letter in value):
            problems.append((f"'{name}' is empty", "write a text"))
        elif name not in ("prompt", "id", "baseline") and value != value.strip():
            problems.append((f"'{name}' begins or ends with a space", "remove it"))
    label = line.get("label", "correct")
    if isinstance(label, str) and label.strip() and label not in LABELS:
        problems.append((f"unknown label '{label}'", nearest(label, LABELS)))
    for name in ("prompt", "baseline"):
        text = line.get(name)
        if isinstance(text, str) and text.strip() and text != text.rstrip():
            remedy = "remove it: one space is put before the answer"
            problems.append((f"'{name}' ends with white space", remedy))
    tags = line.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        problems.append(
            ("'tags' is not an object of texts", 'write it like {"quantity": "velocity"}')
        )
    elif not all(map(is_whole, (*tags, *tags.values()))):
        problems.append(("'tags' holds half of a surrogate pair", "write the whole character"))
    return problems


def _duplicates(path: str, lines: Sequence[Line]) -> list[Fault]:
    first: dict[str, int] = {}
    faults = []
    for number, line in lines:
        name = line.get("id")
        if isinstance(name, str) and first.setdefault(name, number) != number:
            faults.append(
                Fault(
                    f"{path}:{number}",
                    f"id '{name}' is used on line {first[name]} already",
                    "give each prompt its own id",
                )
            )
    return faults


def _twins(path: str, lines: Sequence[Line]) -> list[Fault]:
    """Names that are taken for each other: what belongs together would count as independent.

    Ids and pairs are only labels, and may differ in case.
    """
    first: dict[tuple[str, str], tuple[str, int]] = {}
    said: set[str] = set()
    faults = []
    for number, line in lines:
        family = line.get("family", line["pair_id"])
        for field, name, key in (
            ("family", family, named_as(family)),
            ("pair", line["pair_id"], looks_as(line["pair_id"])),
            ("id", line["id"], looks_as(line["id"])),
        ):
            other, there = first.setdefault((field, key), (name, number))
            if other != name and name not in said:
                said.add(name)
                faults.append(
                    Fault(
                        f"{path}:{number}",
                        f"{field} '{name}' differs from {field} '{other}' (line {there}) only in "
                        f"{difference(name, other)}",
                        "write both alike, or give them names that differ",
                    )
                )
    return faults


def _pair(
    path: str, pair_id: str, variants: Mapping[str, Line]
) -> tuple[list[Prompt], list[Fault]]:
    """Both prompts of a pair, completed from each other; none where there is a fault."""
    if len(variants) < 2:
        ((label, (number, _)),) = variants.items()
        partner = LABELS[1 - LABELS.index(label)]
        what = f"pair '{pair_id}' has no {partner} variant"
        return [], [Fault(f"{path}:{number}", what, "add its partner")]
    (first, correct), (second, confused) = (variants[label] for label in LABELS)
    answers = [line.get("answer", line["expected_correct_answer"]) for line in (correct, confused)]
    problems = _disagreements(pair_id, correct, confused, answers)
    foils = {line["foil"] for line in (correct, confused) if "foil" in line}
    foils = (foils | {answers[1]}) - {answers[0]}
    if len(foils) != 1 and not problems:
        how_many = "no" if not foils else "more than one"
        what = f"pair '{pair_id}' has {how_many} wrong answer"
        remedy = "let the misconception variant's answer be it, or give both variants the same foil"
        problems.append((what, remedy))
    problems += _alike(pair_id, answers[0], foils)
    if problems:
        place = f"{path}:{max(first, second)}"
        return [], [Fault(place, *problem) for problem in problems]
    (foil,) = foils
    return [
        Prompt(
            id=line["id"],
            pair_id=pair_id,
            family=correct.get("family", pair_id),
            label=label,
            text=line["prompt"],
            answer=answer,
            correct=answers[0],
            misconception=foil,
            line=number,
            tags=line.get("tags", {}),
            baseline=line.get("baseline", ""),
        )
        for label, (number, line), answer in zip(
            LABELS, ((first, correct), (second, confused)), answers, strict=True
        )
    ], []


def _disagreements(
    pair_id: str, correct: Mapping[str, Any], confused: Mapping[str, Any], answers: Sequence[str]
) -> list[tuple[str, str]]:
    """In what the lines of a pair contradict each other, or themselves."""
    problems = []
    expected = [line["expected_correct_answer"] for line in (correct, confused)]
    if correct.get("family", pair_id) != confused.get("family", pair_id):
        problems.append((f"pair '{pair_id}' spans two families", "give both variants one family"))
    first, second = (
        (line["prompt"], answer) for line, answer in zip((correct, confused), answers, strict=True)
    )
    if all(looks_as(one) == looks_as(other) for one, other in zip(first, second, strict=True)):
        what = f"the variants of pair '{pair_id}' are equal" + " to the eye" * (first != second)
        problems.append((what, "let them differ in the prompt or in the answer"))
    if answers[0] != expected[0]:
        what = f"the correct variant of pair '{pair_id}' answers '{answers[0]}' where"
        what += f" '{expected[0]}' is expected{_unseen(answers[0], expected[0])}"
        problems.append((what, "make the two the same"))
    if "answer" in confused and expected[1] != expected[0]:
        what = f"the variants of pair '{pair_id}' expect '{expected[0]}' and '{expected[1]}'"
        what += _unseen(*expected)
        problems.append((what, "give both the same expected_correct_answer"))
    return problems


def _unseen(one: str, other: str) -> str:
    return f", which differ in {difference(one, other)}" if looks_as(one) == looks_as(other) else ""


def _alike(pair_id: str, answer: str, foils: Iterable[str]) -> Iterator[tuple[str, str]]:
    """An answer that begins the other one is the likelier by construction."""
    for foil in sorted(foils):
        if looks_as(foil) == looks_as(answer):
            yield f"the answers of pair '{pair_id}' look the same: '{foil}'", "let them differ"
        shorter, longer = sorted((answer, foil), key=len)
        if longer.startswith(shorter + " "):
            yield (
                f"the answers '{shorter}' and '{longer}' of pair '{pair_id}' begin alike",
                "let no answer be the beginning of the other: it is the likelier by construction",
            )


def _shared(path: str, prompts: Sequence[Prompt]) -> list[Fault]:
    """A text that two families use would be counted twice, or stand on both sides of the split."""
    first: dict[str, Prompt] = {}
    faults = []
    for prompt in prompts:
        other = first.setdefault(reads_as(prompt.text), prompt)
        if other.family != prompt.family:
            same = other.text == prompt.text
            but = "" if same else f" but for {difference(other.text, prompt.text)}"
            faults.append(
                Fault(
                    f"{path}:{prompt.line}",
                    f"family '{prompt.family}' has the same prompt as family '{other.family}' "
                    f"(line {other.line}){but}",
                    "put both pairs into one family",
                )
            )
    return faults


def _unbalanced(path: str, prompts: Sequence[Prompt]) -> list[Fault]:
    uses: dict[str, Counter[str]] = defaultdict(Counter)
    lines: dict[str, int] = {}
    for prompt in prompts:
        if prompt.label == "correct":
            uses[prompt.family][prompt.correct] += 1
            uses[prompt.family][prompt.misconception] -= 1
            lines.setdefault(prompt.family, prompt.line)
    return [
        Fault(
            f"{path}:{lines[family]}",
            f"family '{family}' is not balanced: "
            + first_few(
                f"'{answer}' is right {abs(more)} time{'s' * (abs(more) != 1)} "
                f"{'more' if more > 0 else 'less'} often than wrong"
                for answer, more in sorted(count.items())
                if more
            ),
            "ask the other question as often, or set `balance: none` in the spec",
        )
        for family, count in uses.items()
        if any(count.values())
    ]


def _place(fault: Fault) -> tuple[int, str]:
    return int(fault.where.rsplit(":", 1)[1]), fault.what


def _kind(value: Any) -> str:
    names = {bool: "true or false", type(None): "null", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
