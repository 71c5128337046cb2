"""Interventions as data: which features of which layers are edited, how and where."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from harness.specs.fields import NamedPositions
from harness.specs.prompt import Label

Feature = tuple[int, int]  # (layer, index)
Role = Literal["target", "single", "dose", "control", "no-op", "rotated", "dose-control"]
At = NamedPositions | tuple[int, ...]


@dataclass(frozen=True)
class Intervention:
    """One edit of a set of features. `number` tells the sets of a role apart.

    `target` is the selected set, `single` one of its features, `dose` the set scaled by a factor,
    `control` a matched random set, `dose-control` one scaled by a factor, `rotated` the target with its
    features' directions turned at random, and `no-op` the target's computation with the values left as
    they are. `values` are each feature's own: what its kind of edit needs, see `harness.interventions.edits`.
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

    @property
    def id(self) -> str:
        """A hash of the edit itself."""
        content = (self.ablation, self.role, self.number, self.kind, self.positions, self.variant)
        more = (self.features, self.values, self.source)
        return hashlib.sha256(repr((*content, *more)).encode()).hexdigest()[:16]

    @property
    def layers(self) -> tuple[int, ...]:
        """Where it edits, lowest first."""
        return tuple(sorted({layer for layer, _ in self.features}))


def positions_name(positions: At) -> str:
    """Positions as the store names them: `prompt`, or like `-1,-2`."""
    return positions if isinstance(positions, str) else ",".join(map(str, positions))
