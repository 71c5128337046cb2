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
    ("slope-turning", "level"),
    ("free-fall", "rate"),
    ("car-cruising", "rate"),
    ("car-braking", "rate"),
    ("whirled-ball", "level"),
    ("pendulum-end", "rate"),
    ("projectile-top", "level"),
    ("elevator-up-slowing", "rate"),
    ("vt-flat", "level"),
    ("satellite", "level"),
)


def pilot(forms: Forms) -> Iterator[Line]:
    """11 pairs in the proof of concept's fields; both variants share the prompt."""
    scenarios = {scenario.id: scenario for scenario in load_scenarios()}
    for number, (scenario_id, quantity) in enumerate(PILOT, start=1):
        scenario = scenarios[scenario_id]
        prompt = question(forms.evaluation[0], scenario, quantity, 0)
        for line in _same_prompt(f"vel_accel_{number:02}", scenario, quantity, prompt):
            del line["tags"]
            yield line


def kinematics(forms: Forms) -> Iterator[Line]:
    """One prompt, right answer against confused answer: to be read on the answer."""
    yield from _plain(load_scenarios(), forms)


def transfer(forms: Forms) -> Iterator[Line]:
    """The same design on levels and rates of water, money, heat, charge and people."""
    yield from _plain(load_scenarios("transfer"), forms)


def voices(forms: Forms) -> Iterator[Line]:
    """One question after a careful or a confused context: to be read before any answer is given.

    Named: the two contexts differ in what is said of the speaker. Shown: they differ in the answers
    to the same four questions, two on each of two context families.
    """
    measured, contexts = _measured_and_contexts()
    careful, confused = forms.traits["careful"][0], forms.traits["confused"][0]
    for scenario in measured:
        slots = shuffled(contexts, "voices", scenario.id)
        for q, quantity in enumerate(QUANTITIES):
            for n, name in enumerate(forms.evaluation_names):
                text = question(forms.evaluation[2 * n], scenario, quantity, n)
                yield from _pair(
                    scenario,
                    quantity,
                    f"named-{n + 1}",
                    (name.format(trait=careful) + text, name.format(trait=confused) + text),
                )
            for n in range(2):
                text = question(forms.evaluation[2 * n + 1], scenario, quantity, n)
                key = (scenario.id, quantity, n)
                shown = slots[4 * q + 2 * n : 4 * q + 2 * n + 2]
                right = _context(forms, shown, key, confused=False)
                wrong = _context(forms, shown, key, confused=True)
                yield from _pair(scenario, quantity, f"shown-{n + 1}", (right + text, wrong + text))


def placebo(forms: Forms) -> Iterator[Line]:
    """Two careful variants, labelled by a coin: whatever is found here is a false positive."""
    measured, contexts = _measured_and_contexts()
    traits = forms.traits["careful"]
    for scenario in measured:
        slots = shuffled(contexts, "placebo", scenario.id)
        for q, quantity in enumerate(QUANTITIES):
            name = forms.evaluation_names[0]
            text = question(forms.evaluation[0], scenario, quantity, 0)
            named = tuple(name.format(trait=trait) + text for trait in traits[:2])
            yield from _pair(scenario, quantity, "named", named, placebo=True)
            paraphrases = tuple(
                question(forms.evaluation[form], scenario, quantity, 1) for form in (1, 3)
            )
            yield from _pair(scenario, quantity, "paraphrase", paraphrases, placebo=True)
            for n in range(2):
                text = question(forms.evaluation[2 * n + 1], scenario, quantity, n)
                start = 4 * q + 2 * n
                shown = tuple(
                    _context(
                        forms,
                        (slots[at % 8], slots[(at + 1) % 8]),
                        (scenario.id, quantity, n, at),
                        confused=False,
                    )
                    + text
                    for at in (start, start + 4)
                )
                yield from _pair(scenario, quantity, f"shown-{n + 1}", shown, placebo=True)


SETS: dict[str, Callable[[Forms], Iterator[Line]]] = {
    "prompts_physics": pilot,
    "kinematics": kinematics,
    "voices": voices,
    "placebo": placebo,
    "transfer": transfer,
}


def render(name: str) -> str:
    """The text of `{name}.jsonl`."""
    lines = SETS[name](load_forms())
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _measured_and_contexts() -> tuple[tuple[Scenario, ...], tuple[Scenario, ...]]:
    scenarios = load_scenarios()
    return (
        tuple(scenario for scenario in scenarios if not scenario.context),
        tuple(scenario for scenario in scenarios if scenario.context),
    )


def _plain(scenarios: tuple[Scenario, ...], forms: Forms) -> Iterator[Line]:
    for scenario in scenarios:
        for quantity in QUANTITIES:
            for n, form in enumerate(forms.evaluation):
                pair_id = f"{scenario.id}-{quantity}-{n + 1}"
                prompt = question(form, scenario, quantity, n % 2)
                yield from _same_prompt(pair_id, scenario, quantity, prompt)


def _context(
    forms: Forms, shown: tuple[Scenario, ...], key: tuple[object, ...], *, confused: bool
) -> str:
    """Both questions on each context family, answered, in an order that the key decides."""
    asked = shuffled(tuple((s, q) for s in shown for q in QUANTITIES), "order", *key)
    texts = []
    for at, (scenario, quantity) in enumerate(asked):
        form = forms.evaluation[(0, 3)[draw("form", *key, at) % 2]]
        scene = draw("scene", *key, at) % 2
        texts.append(statement(form, scenario, quantity, scene, confused=confused))
    return "\n".join(texts) + "\n"


def _same_prompt(pair_id: str, scenario: Scenario, quantity: str, prompt: str) -> Iterator[Line]:
    for suffix, label in (("a", "correct"), ("b", "misconception")):
        yield {
            "id": pair_id + suffix,
            "pair_id": pair_id,
            "family": scenario.id,
            "label": label,
            "prompt": prompt,
            "answer": scenario.answer(quantity, confused=label == "misconception"),
            "expected_correct_answer": scenario.answer(quantity),
            "tags": {"quantity": scenario.noun(quantity)},
        }


def _pair(
    scenario: Scenario,
    quantity: str,
    condition: str,
    prompts: tuple[str, ...],
    *,
    placebo: bool = False,
) -> Iterator[Line]:
    pair_id = f"{scenario.id}-{quantity}-{condition}"
    if placebo and draw("coin", pair_id) % 2:
        prompts = prompts[::-1]
    for line, prompt in zip(_same_prompt(pair_id, scenario, quantity, ""), prompts, strict=True):
        line["prompt"] = prompt
        if placebo:
            line["answer"] = scenario.answer(quantity)
            line["foil"] = scenario.answer(quantity, confused=True)
        tags = line.pop("tags")
        yield line | {"tags": tags | {"condition": condition.rstrip("-12")}}


def main(arguments: list[str]) -> int:
    stale = [path for name in SETS if _differs(path := HERE / f"{name}.jsonl", render(name))]
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
