"""Render the prompt files of this folder from the scenario table: `python -m data.render`.

Nothing here is random: where a choice must be arbitrary it is drawn from a hash of what it is for,
so that adding a scenario changes no other scenario's prompts. `--check` writes nothing and exits 1
where a committed file differs from what the table gives.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.design import FORMS, Family, contexts, families
from data.neutral_texts import neutral
from data.other_contrasts import indirect_objects, reviews
from data.scenarios import (
    HERE,
    QUANTITIES,
    Forms,
    Scenario,
    draw,
    load_forms,
    load_scenarios,
    question,
    shuffled,
    statement,
)

Line = dict[str, Any]

# The proof of concept's set: one question of each, in the first form.
PILOT = (
    ("throw-top", "rate"),
    ("bowling-ball", "level"),
    ("free-fall", "rate"),
    ("spacecraft", "rate"),
    ("motorcycle", "rate"),
    ("track-north", "level"),
    ("pointer-stretch", "rate"),
    ("cannonball-top", "level"),
    ("girder", "rate"),
    ("vt-flat", "level"),
    ("clock-hand", "level"),
)
TENSE = "tense"


def pilot(forms: Forms) -> Iterator[Line]:
    """11 pairs in the proof of concept's fields; both variants share the prompt."""
    scenarios = {scenario.id: scenario for scenario in load_scenarios()}
    for number, (scenario_id, quantity) in enumerate(PILOT, start=1):
        scenario = scenarios[scenario_id]
        prompt = question(forms.evaluation[0], scenario, quantity, 0)
        for line in _pair(scenario, quantity, f"vel_accel_{number:02}", (prompt, prompt), {}):
            del line["tags"]
            yield line


def kinematics(forms: Forms) -> Iterator[Line]:
    """One prompt, right answer against confused answer: to be read on the answer."""
    yield from _plain("kinematics", forms)


def transfer(forms: Forms) -> Iterator[Line]:
    """The same design on stocks and flows of water, money, heat, charge and people."""
    yield from _plain("transfer", forms)


def voices(forms: Forms) -> Iterator[Line]:
    """One question after a careful or a confused context: to be read before any answer is given.

    Named: the two contexts differ in what is said of the speaker. Shown: they differ in the answers
    to the same four questions, two on each of two context scenarios.
    """
    for family, quantity in _asked():
        trait = forms.traits[family.form]
        text = _text(forms, family, quantity, 0)
        named = tuple(_named(forms, family, trait.of(confused=c)) + text for c in (False, True))
        yield from _condition(family, quantity, "named", named, sentence=0)
        text = _text(forms, family, quantity, 1)
        shown = tuple(_shown(forms, family, quantity, confused=c) + text for c in (False, True))
        yield from _condition(family, quantity, "shown", shown, sentence=1)


def placebo(forms: Forms) -> Iterator[Line]:
    """Two careful variants, labelled by a coin: whatever is found here is a false positive."""
    for family, quantity in _asked():
        other = (family.form + FORMS // 2) % FORMS
        text = _text(forms, family, quantity, 1)
        variants = {
            "named": tuple(
                _named(forms, family, forms.traits[form].careful) + text
                for form in (family.form, other)
            ),
            "paraphrase": tuple(_text(forms, family, quantity, at) for at in (0, 1)),
            "shown": tuple(
                _shown(forms, family, quantity, confused=False, form=form) + text
                for form in (family.form, other)
            ),
        }
        left_out = tuple(variants)[family.number % 3]
        for condition, prompts in variants.items():
            if condition != left_out:
                coin = draw("coin", family.scenario.id, quantity, condition) % 2
                ordered = prompts[::-1] if coin else prompts
                lines = _condition(family, quantity, condition, ordered, sentence=1)
                yield from _both_right(lines, family.scenario, quantity)


def decoys(forms: Forms) -> Iterator[Line]:
    """The frames of `voices` with a consistent contrast that has nothing to do with the matter."""
    kinds = (*forms.decoys, TENSE)
    for family, quantity in _asked():
        first = family.number % len(kinds)
        second = (first + 1 + family.number // len(kinds) % (len(kinds) - 1)) % len(kinds)
        for at, kind in enumerate((kinds[first], kinds[second])):
            if kind == TENSE:
                names = forms.tenses[family.name]
            else:
                traits = forms.decoys[kind]
                trait = traits[family.number % len(traits)]
                names = (
                    _named(forms, family, trait.careful),
                    _named(forms, family, trait.confused),
                )
            text = _text(forms, family, quantity, at)
            lines = _condition(
                family, quantity, kind, tuple(name + text for name in names), sentence=at
            )
            for line in _both_right(lines, family.scenario, quantity):
                tags = line["tags"]
                del tags["form"]
                tags["decoy"] = tags.pop("condition")
                yield line


# Those of physics, from the tables.
PHYSICS: dict[str, Callable[[Forms], Iterator[Line]]] = {
    "prompts_physics": pilot,
    "kinematics": kinematics,
    "voices": voices,
    "placebo": placebo,
    "decoys": decoys,
    "transfer": transfer,
}
SETS: dict[str, Callable[[Forms], Iterator[Line]]] = {
    **PHYSICS,
    "indirect_objects": lambda _: indirect_objects(),
    "reviews": lambda _: reviews(),
}
# And texts without pairs.
FILES: dict[str, Callable[[Forms], Iterator[Line]]] = {**SETS, "neutral": lambda _: neutral()}


def render(name: str) -> str:
    """The text of `{name}.jsonl`."""
    lines = FILES[name](load_forms())
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _asked() -> Iterator[tuple[Family, str]]:
    return ((family, quantity) for family in families() for quantity in QUANTITIES)


def _text(forms: Forms, family: Family, quantity: str, at: int) -> str:
    """The question in the first or second of the family's two sentences and wordings."""
    form = forms.evaluation[family.sentences[at]]
    return question(form, family.scenario, quantity, family.scenes[at])


def _named(forms: Forms, family: Family, trait: str) -> str:
    return forms.evaluation_names[family.name].format(trait=trait)


def _shown(
    forms: Forms, family: Family, quantity: str, *, confused: bool, form: int | None = None
) -> str:
    """Both questions on each of two context scenarios, answered, in an order of the family's own."""
    shown = contexts(family.form if form is None else form)
    key = (family.scenario.id, quantity)
    asked = shuffled(tuple((s, q) for s in shown for q in QUANTITIES), "order", *key)
    texts = [
        statement(
            forms.evaluation[draw("form", *key, at) % len(forms.evaluation)],
            scenario,
            asked_quantity,
            draw("scene", *key, at) % 2,
            confused=confused,
        )
        for at, (scenario, asked_quantity) in enumerate(asked)
    ]
    return "\n".join(texts) + "\n"


def _plain(table: str, forms: Forms) -> Iterator[Line]:
    for family in families(table):
        scenario = family.scenario
        for quantity in QUANTITIES:
            for at in range(2):
                prompt = _text(forms, family, quantity, at)
                sentence = family.sentences[at]
                pair_id = f"{scenario.id}-{quantity}-{sentence + 1}"
                tags = {"sentence": str(sentence + 1)}
                for line in _pair(scenario, quantity, pair_id, (prompt, prompt), tags):
                    told_nothing = question(forms.evaluation[sentence], scenario, quantity, None)
                    yield line | {"baseline": told_nothing}


def _condition(
    family: Family, quantity: str, condition: str, prompts: tuple[str, ...], *, sentence: int
) -> Iterator[Line]:
    pair_id = f"{family.scenario.id}-{quantity}-{condition.replace(' ', '-')}"
    tags = {
        "condition": condition,
        "form": f"f{family.form + 1:02}",
        "sentence": str(family.sentences[sentence] + 1),
    }
    yield from _pair(family.scenario, quantity, pair_id, prompts, tags)


def _both_right(lines: Iterator[Line], scenario: Scenario, quantity: str) -> Iterator[Line]:
    """Neither variant says anything wrong, so the wrong candidate stands apart."""
    for line in lines:
        tags = line.pop("tags")
        line["answer"] = scenario.answer(quantity)
        yield line | {"foil": scenario.answer(quantity, confused=True), "tags": tags}


def _pair(
    scenario: Scenario,
    quantity: str,
    pair_id: str,
    prompts: tuple[str, ...],
    tags: dict[str, str],
) -> Iterator[Line]:
    for suffix, label, prompt in zip("ab", ("correct", "misconception"), prompts, strict=True):
        yield {
            "id": pair_id + suffix,
            "pair_id": pair_id,
            "family": scenario.id,
            "label": label,
            "prompt": prompt,
            "answer": scenario.answer(quantity, confused=label == "misconception"),
            "expected_correct_answer": scenario.answer(quantity),
            "tags": {"principle": scenario.principle, "quantity": scenario.half(quantity)} | tags,
        }


def main(arguments: list[str]) -> int:
    stale = [path for name in FILES if _differs(path := HERE / f"{name}.jsonl", render(name))]
    for path in stale:
        if "--check" not in arguments:
            path.write_text(render(path.stem), encoding="utf-8", newline="\n")
        print(
            f"{path.name}: {'differs from' if '--check' in arguments else 'rendered from'} the table"
        )
    return int(bool(stale) and "--check" in arguments)


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_bytes() != text.encode("utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
