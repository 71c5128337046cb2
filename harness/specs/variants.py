"""What a spec calls the two variants that it compares, and the roles that these have inside.

A spec says `toward-clean` and `log_p_clean`; everything behind it computes with the roles `correct`, of the
positive variant, and `misconception`, of the one that it is compared with. Names become roles where a spec is
read and where a prompt file is completed, and names again where a spec is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.specs.prompt import LABELS, Label

MISNAMED = (
    "?"  # ends what names a variant that the spec does not have: no role, and no metric, ends so
)
# By the last key of a path, what stands before the name of a variant there.
PREFIXES = {
    "toward": "",
    "variant": "",
    "direction": "toward-",
    "behaviour": "log_p_",
    "metric": "log_p_",
}
Translate = Callable[[str, str], str]  # a value and what stands before the name in it


@dataclass(frozen=True)
class Variants:
    """The names of the two variants, by role: `correct` is that of the positive one."""

    correct: str = "correct"
    misconception: str = "misconception"

    @classmethod
    def compared(cls, of: str, against: str) -> "Variants":
        """Those of a contrast. The old names have their own roles, whichever of them is positive."""
        return cls() if {of, against} == {*LABELS} else cls(of, against)

    @property
    def are_roles(self) -> bool:
        """Whether they are called by their roles, as in every spec of before there was a choice."""
        return self == Variants()

    @property
    def names(self) -> tuple[str, str]:
        """Both, the positive one first."""
        return self.correct, self.misconception

    def name(self, role: Label) -> str:
        """What the variant of a role is called."""
        return self.correct if role == "correct" else self.misconception

    def role(self, name: str) -> Label | None:
        """The role of a variant; None of one that is not compared."""
        return next((role for role in LABELS if self.name(role) == name), None)

    def answer(self, role: Label) -> str:
        """A variant's answer in words: `right answer`, or like `clean answer`."""
        if self.are_roles:
            return "right answer" if role == "correct" else "misconception"
        return f"{self.name(role)} answer"

    def named(self, value: str) -> str:
        """A value that ends in a role, like `log_p_correct`, as the spec says it."""
        for prefix in ("log_p_", "toward-", ""):
            for role in LABELS:
                if value == prefix + role:
                    return prefix + self.name(role)
        return value.removesuffix(MISNAMED)

    def in_roles(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """A spec as it is written, with a role in the place of each variant's name."""

        def translate(value: str, prefix: str) -> str:
            name = value.removeprefix(prefix)
            if not value.startswith(prefix):
                return value
            if role := self.role(name):
                return prefix + role
            return value + MISNAMED if name in LABELS else value

        return _translated(spec, translate)

    def in_names(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The reverse: a spec's fields as it is written."""
        return _translated(spec, lambda value, _: self.named(value))


def variants_of(spec: Any) -> Variants:
    """Those that a spec as it is written compares, as far as that can be read."""
    contrast = spec.get("contrast") if isinstance(spec, dict) else None
    said = contrast if isinstance(contrast, dict) else {}
    pair = [said.get(key, role) for key, role in zip(("of", "against"), LABELS, strict=True)]
    return Variants.compared(*pair) if all(isinstance(one, str) for one in pair) else Variants()


def _translated(spec: Mapping[str, Any], translate: Translate) -> dict[str, Any]:
    """The fields of a spec that name a variant, translated; what is of another shape is left as it is."""
    made = _keys(spec, ("metric",), translate)
    for part, keys in (
        ("ablations", ("variant",)),
        ("claims", ("behaviour", "direction", "metric")),
    ):
        if isinstance(items := made.get(part), list | tuple):
            made[part] = type(items)(
                _select(_keys(one, keys, translate), translate) if isinstance(one, dict) else one
                for one in items
            )
    return made


def _select(ablation: dict[str, Any], translate: Translate) -> dict[str, Any]:
    select = ablation.get("select")
    if not isinstance(select, dict):
        return ablation
    return ablation | {"select": _keys(select, ("toward",), translate)}


def _keys(fields: Mapping[str, Any], keys: tuple[str, ...], translate: Translate) -> dict[str, Any]:
    return dict(fields) | {
        key: translate(fields[key], PREFIXES[key])
        for key in keys
        if isinstance(fields.get(key), str)
    }
