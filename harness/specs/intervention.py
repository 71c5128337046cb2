"""Interventions as data: which features of which layers are edited, how and where."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from harness.records import Interventions, Label, Origin
from harness.spec import Where

Feature = tuple[int, int]  # (layer, index)
Role = Literal["target", "single", "dose", "control", "no-op"]
At = Where | tuple[int, ...]


@dataclass(frozen=True)
class Intervention:
    """One edit of a set of features. `number` tells the sets of a role apart.

    `target` is the selected set, `single` one of its features, `dose` the set scaled by a factor,
    `control` a matched random set, and `no-op` the target's computation with the values left as
    they are. `values` are each feature's own: what its kind of edit needs, see `harness.edits`.
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
            "source": one.source,
            "positions": positions_name(one.positions),
            "variant": one.variant,
            "layer": layer,
            "feature": feature,
            "value": one.values[rank] if one.values else None,
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
        made.append(
            Intervention(
                ablation=str(rows.ablation[i]),
                role=rows.role[i],
                number=int(rows.number[i]),
                kind=str(rows.kind[i]),
                positions=_positions(str(rows.positions[i])),
                variant=rows.variant[i],
                features=tuple((int(rows.layer[m]), int(rows.feature[m])) for m in members),
                scores=_numbers([rows.score[m] for m in members]),
                values=_numbers([rows.value[m] for m in members]),
                source=rows.source[i],
            )
        )
    return tuple(sorted(made, key=lambda one: (one.ablation, one.role, one.number)))


def _positions(name: str) -> At:
    known: tuple[Where, ...] = get_args(Where)
    return next((at for at in known if at == name), None) or tuple(map(int, name.split(",")))


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    """Null comes from the store as None or NaN; a set has a number for each feature, or for none."""
    return tuple(float(v) for v in values if v is not None and v == v)
