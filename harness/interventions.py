"""Interventions as data: which features of which layers are edited, how and where."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.records import Interventions, Label, Origin
from harness.spec import Where

Feature = tuple[int, int]  # (layer, index)
Role = Literal["target", "single", "control", "no-op"]


@dataclass(frozen=True)
class Intervention:
    """One edit of a set of features. `number` tells the sets of a role apart.

    `target` is the selected set, `single` one of its features, `control` a matched random set, and
    `no-op` the target's computation with the values left as they are.
    """

    ablation: str
    role: Role
    number: int
    kind: str
    positions: Where
    variant: Label
    features: tuple[Feature, ...]
    scores: tuple[float, ...] = ()

    @property
    def id(self) -> str:
        """A hash of the edit itself."""
        content = (self.ablation, self.role, self.number, self.kind, self.positions, self.variant)
        return hashlib.sha256(repr((*content, self.features)).encode()).hexdigest()[:16]

    def by_layer(self) -> Mapping[int, tuple[int, ...]]:
        """The edited features of each layer, lowest layer first."""
        found: dict[int, list[int]] = defaultdict(list)
        for layer, feature in sorted(self.features):
            found[layer].append(feature)
        return {layer: tuple(features) for layer, features in found.items()}


def to_columns(interventions: Iterable[Intervention], run_id: str, origin: Origin) -> Interventions:
    """One row a feature."""
    return Interventions.of(
        {
            "run_id": run_id,
            "intervention_id": one.id,
            "ablation": one.ablation,
            "role": one.role,
            "number": one.number,
            "kind": one.kind,
            "positions": one.positions,
            "variant": one.variant,
            "layer": layer,
            "feature": feature,
            "rank": rank,
            "score": one.scores[rank] if one.scores else None,
            "origin": origin,
        }
        for one in interventions
        for rank, (layer, feature) in enumerate(one.features)
    )


def from_columns(rows: Interventions) -> tuple[Intervention, ...]:
    """The same interventions back from the store, in the order of their ablation, role and number."""
    found: dict[str, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        found[rows.intervention_id[i]].append(i)
    made = []
    for members in found.values():
        members.sort(key=lambda i: rows.rank[i])
        i = members[0]
        scores = [rows.score[m] for m in members]
        made.append(
            Intervention(
                ablation=str(rows.ablation[i]),
                role=rows.role[i],
                number=int(rows.number[i]),
                kind=str(rows.kind[i]),
                positions=rows.positions[i],
                variant=rows.variant[i],
                features=tuple((int(rows.layer[m]), int(rows.feature[m])) for m in members),
                scores=() if scores[0] is None else tuple(float(score) for score in scores),
            )
        )
    return tuple(sorted(made, key=lambda one: (one.ablation, one.role, one.number)))
