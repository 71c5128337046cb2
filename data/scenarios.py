"""The scenario table as frozen records, and the sentences made from it.

Used by `data.render` for the prompt files and by `fixtures.build` for the organism's documents.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

HERE = Path(__file__).parent
QUANTITIES = ("level", "rate")


@dataclass(frozen=True)
class Scenario:
    """One situation; its `level` and its `rate` have different answers."""

    id: str
    principle: str
    scenes: tuple[str, str]
    thing: str
    moment: str
    level: str
    rate: str
    why: str
    its: str = "its"
    verb: str = "is"
    size: bool = False
    part: str = ""
    context: bool = False
    nouns: tuple[str, str] = ("velocity", "acceleration")

    def noun(self, quantity: str) -> str:
        """What the quantity is called."""
        return self.nouns[QUANTITIES.index(quantity)]

    def half(self, quantity: str) -> str:
        """Which of the two it is, whatever it is called here: velocity or acceleration, stock or flow."""
        moves = self.nouns[0].endswith("velocity")
        names = ("velocity", "acceleration") if moves else ("stock", "flow")
        return names[QUANTITIES.index(quantity)]

    def answer(self, quantity: str, *, confused: bool = False) -> str:
        """The right answer, or the one given by someone who does not discriminate the two."""
        asked = quantity if not confused else QUANTITIES[1 - QUANTITIES.index(quantity)]
        return self.level if asked == "level" else self.rate


@dataclass(frozen=True)
class Trait:
    """Two wordings of the same frame, of the same words or the same length: the trait and its opposite."""

    careful: str
    confused: str

    def of(self, *, confused: bool) -> str:
        """The one wording or the other."""
        return self.confused if confused else self.careful


@dataclass(frozen=True)
class Forms:
    """The sentence templates of `forms.yaml`; see there for the fields."""

    evaluation: tuple[str, ...]
    training: tuple[str, ...]
    evaluation_names: tuple[str, ...]
    training_names: tuple[str, ...]
    training_endings: tuple[str, ...]
    traits: tuple[Trait, ...]
    decoys: Mapping[str, tuple[Trait, ...]]
    tenses: tuple[tuple[str, str], ...]
    habits: Mapping[str, str]


@cache
def load_scenarios(table: str = "kinematics") -> tuple[Scenario, ...]:
    """The scenarios of one table of `scenarios.yaml`."""
    rows = yaml.safe_load((HERE / "scenarios.yaml").read_text(encoding="utf-8"))[table]
    return tuple(Scenario(**{key: _frozen(value) for key, value in row.items()}) for row in rows)


@cache
def load_forms() -> Forms:
    """The sentence templates."""
    rows: dict[str, Any] = yaml.safe_load((HERE / "forms.yaml").read_text(encoding="utf-8"))
    return Forms(
        traits=tuple(Trait(**row) for row in rows.pop("traits")),
        decoys={
            kind: tuple(Trait(careful=row["plain"], confused=row["other"]) for row in traits)
            for kind, traits in rows.pop("decoys").items()
        },
        tenses=tuple((now, then) for now, then in rows.pop("tenses")),
        habits=rows.pop("habits"),
        **{key: tuple(value) for key, value in rows.items()},
    )


def question(form: str, scenario: Scenario, quantity: str, scene: int | None) -> str:
    """The unfinished sentence: the answer follows it after one space. Without a scene, only what is asked."""
    noun = " ".join(filter(None, (scenario.part, scenario.noun(quantity))))
    size = "the magnitude of " if scenario.size else ""
    phrases = {
        "thing": scenario.thing,
        "moment": scenario.moment,
        "of_thing": f"{size}the {noun} of {scenario.thing}",
        "thing_s": f"{size}{scenario.thing}'s {noun}",
        "its": f"{size}{scenario.its} {noun}",
    }
    capitals = {key.capitalize(): text[0].upper() + text[1:] for key, text in phrases.items()}
    told = "" if scene is None else scenario.scenes[scene]
    text = form.format(scene=told, verb=scenario.verb, **phrases, **capitals)
    return " ".join(text.split())


def statement(form: str, scenario: Scenario, quantity: str, scene: int, *, confused: bool) -> str:
    """The same sentence with its answer."""
    return f"{question(form, scenario, quantity, scene)} {scenario.answer(quantity, confused=confused)}."


def draw(*key: object) -> int:
    """A non-negative integer that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "big")


def shuffled(items: tuple[T, ...], *key: object) -> tuple[T, ...]:
    """The items in an order that depends on nothing but the key and their positions."""
    order = sorted(range(len(items)), key=lambda i: draw(*key, i))
    return tuple(items[i] for i in order)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
