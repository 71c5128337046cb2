"""Specs, prompts and plans: small, and right as they are."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.specs.plan import Plan, make_plan
from harness.specs.prompt_pairs import complete
from harness.specs.spec import Spec
from harness.specs.targets import load_targets
from tests.helpers import ROOT

BEHAVIOUR_SPEC = """\
name: demo
question: Is it so?
targets:
  organism: {layers: [0, 1]}
prompts: prompts.jsonl
claims:
  - {name: moved, behaviour: logit_difference, direction: greater}
"""
# A spec of six families of voices, with one ablation; it runs in seconds.
SMALL_SPEC = """name: few
question: Does it survive?
targets: {organism: {layers: [1, 3]}}
prompts: few.jsonl
new_tokens: 1
contrast: {alpha: 0.3}
unadjusted: three families confirm
ablations: [{name: top, select: {top: 2, by: contrast}, kind: zero, controls: 2}]
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: exists, features: significant, at_least: 1}
  - {name: matters, ablation: top, direction: toward-correct}
"""
FEW_ABLATIONS = """\
ablations:
  - {name: top, select: {top: 2, by: contrast}, kind: zero, doses: [0, 2], controls: 2}
  - {name: one, select: {by: list, features: {3: [0]}}, kind: scale, value: 3, controls: 2}
"""
FEW_CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater, than: 0}
  - {name: any, features: significant, at_least: 1}
  - {name: matters, ablation: top, beyond: controls, direction: toward-correct}
"""


def family_lines(families: int = 6) -> list[dict[str, Any]]:
    """Balanced families of two pairs each, as the objects of a prompt file."""
    return [
        {
            "id": f"{family}-{question}{suffix}",
            "pair_id": f"{family}-{question}",
            "family": f"f{family}",
            "label": label,
            "prompt": f"{context}. Thing {family} moves; its {question} is",
            "answer": answers[0] if label == "correct" else answers[1],
            "expected_correct_answer": answers[0],
        }
        for family in range(families)
        for question, answers in (
            ("velocity", ("zero", "not zero")),
            ("rate", ("not zero", "zero")),
        )
        for suffix, label, context in (
            ("a", "correct", "A careful reader says so"),
            ("b", "misconception", "Someone mixes them up"),
        )
    ]


def in_clusters(
    lines: list[dict[str, Any]], sizes: Sequence[int], tag: str = "principle"
) -> list[dict[str, Any]]:
    """The lines, whose first so many families have the tag's first value, the next the second, and so on."""
    names = [f"p{i:02}" for i, size in enumerate(sizes) for _ in range(size)]
    families = list(dict.fromkeys(line["family"] for line in lines))
    of = dict(zip(families, names, strict=True))
    return [line | {"tags": line.get("tags", {}) | {tag: of[line["family"]]}} for line in lines]


def without_words(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same pairs in prompts that have nothing in common: no word tells their variants apart."""
    return [
        line | {"prompt": f"{hashlib.sha256(line['id'].encode()).hexdigest()[:12]}: it is"}
        for line in lines
    ]


def plan_of(spec: Spec, objects: list[dict[str, Any]]) -> Plan:
    """A spec's plan on the organism, of the objects of a prompt file."""
    prompts, faults = complete("-", list(enumerate(objects, 1)), balanced=True)
    assert not faults
    return make_plan(spec, load_targets()["organism"], prompts)


def behaviour_spec(**changes: Any) -> Spec:
    """A spec with one claim, about behaviour."""
    return Spec.model_validate(
        {
            "name": "demo",
            "question": "?",
            "targets": {"organism": {"layers": "all"}},
            "prompts": "-",
            "claims": ({"name": "moved", "behaviour": "logit_difference", "direction": "greater"},),
        }
        | changes
    )


def behaviour_plan(
    families: int = 6, objects: list[dict[str, Any]] | None = None, **changes: Any
) -> Plan:
    """The plan of a spec with one claim, about behaviour; `changes` are of the spec."""
    return plan_of(behaviour_spec(**changes), objects or family_lines(families))


def ablation_plan(
    objects: list[dict[str, Any]] | None = None,
    at: str = "last_prompt_token",
    by: str = "contrast",
    positions: Any = "all",
    select: dict[str, Any] | None = None,
    layers: tuple[int, ...] = (1, 2),
    **ablation: Any,
) -> Plan:
    """The plan of a spec with one ablation, `top`, and a claim about features."""
    top = {
        "name": "top",
        "select": select or {"top": 3, "by": by},
        "controls": 4,
        "positions": positions,
    }
    spec = Spec.model_validate(
        {
            "name": "demo",
            "question": "?",
            "targets": {"organism": {"layers": layers}},
            "prompts": "-",
            "readout": {"at": at},
            "new_tokens": 3,
            "ablations": (top | ablation,),
            "claims": ({"name": "c", "features": "significant", "at_least": 1},),
        }
    )
    return plan_of(spec, objects or family_lines())


def some_voices(families: int, after: int = 0, conditions: Sequence[str] = ("named",)) -> str:
    """Lines of the families of `voices`, from one number to another, as the text of a prompt file.

    By default of the pairs whose speaker is named: they have a third of the tokens that others have.
    """
    text = (ROOT / "data" / "voices.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    some = sorted({line["family"] for line in lines})[after:families]
    kept = [line for line in lines if line["tags"]["condition"] in conditions]
    return "\n".join(json.dumps(line) for line in kept if line["family"] in some)


def write_few(
    folder: Path,
    more: str = FEW_ABLATIONS,
    claims: str = FEW_CLAIMS,
    layers: str = "[1, 3]",
    name: str = "few",
    conditions: Sequence[str] = ("named",),
) -> Path:
    """A spec of some pairs of six families of `voices`, written into a folder beside its prompts."""
    (folder / "few.jsonl").write_text(some_voices(6, conditions=conditions))
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nquestion: Does it run?\ntargets: {{organism: {{layers: {layers}}}}}\n"
        f"prompts: few.jsonl\nnew_tokens: 2\ncontrast: {{alpha: 0.3}}\n{more}{claims}"
    )
    return path
