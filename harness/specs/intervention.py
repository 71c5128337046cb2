"""Interventions as data: which features of which layers are edited, how and where."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from harness.errors import first_few
from harness.specs.fields import Baseline, NamedPositions
from harness.specs.prompt import Label

Feature = tuple[int, int]  # (layer, index)
Role = Literal[
    "target",
    "single",
    "without",
    "dose",
    "control",
    "no-op",
    "rotated",
    "shuffled",
    "baseline",
    "complement",
    "dose-control",
]
At = NamedPositions | tuple[int, ...]


@dataclass(frozen=True)
class Intervention:
    """One edit of a set of features. `number` tells the sets of a role apart.

    `target` is the selected set, `single` one of its features, `without` all but that one, `dose` the set
    scaled by a factor, `control` a matched random set, `dose-control` one scaled by a factor, `rotated` the
    target with its features' directions turned at random, `shuffled` the target with values of other
    families' pairs, `baseline` the target along the one direction of each layer that its `baseline` names,
    `complement` an edit of all features of these layers but the set's, which are `features`, and `no-op` the
    target's computation with the values left as they are. `values` are each feature's own: what its kind
    of edit needs, see `harness.interventions.edits`.
    `tied` features, selected or not, share the largest score that there can be: which of them is the
    stronger it cannot tell. The first of `features` are among them.
    """

    ablation: str
    role: Role
    number: int
    kind: str
    positions: At
    variant: Label
    features: tuple[Feature, ...]
    scores: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    source: str | None = None
    tied: int = 0
    baseline: Baseline | None = None

    @property
    def id(self) -> str:
        """A hash of the edit itself."""
        content = (self.ablation, self.role, self.number, self.kind, self.positions, self.variant)
        more = (self.features, self.values, self.source, *[self.baseline] * bool(self.baseline))
        return hashlib.sha256(repr((*content, *more)).encode()).hexdigest()[:16]

    @property
    def ceiling(self) -> str:
        """What its selection could not order, in words; nothing where it could."""
        if not self.tied:
            return ""
        names = [f"{layer}:{index}" for layer, index in self.features[: self.tied]]
        return f"consistency cannot order {first_few(names)}: {self.tied} features tie at its largest value"

    @property
    def layers(self) -> tuple[int, ...]:
        """Where it edits, lowest first."""
        return tuple(sorted({layer for layer, _ in self.features}))


def positions_name(positions: At) -> str:
    """Positions as the store names them: `prompt`, or like `-1,-2`."""
    return positions if isinstance(positions, str) else ",".join(map(str, positions))
