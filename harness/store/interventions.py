"""Interventions to the store's rows, and back."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import cast, get_args

from harness.errors import Fault, InputError
from harness.specs.fields import NamedPositions
from harness.specs.intervention import At, Intervention, positions_name
from harness.specs.prompt import Origin
from harness.store.tables.interventions import Interventions


def intervention_rows(
    interventions: Iterable[Intervention], run_id: str, origin: Origin
) -> Interventions:
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
            "tied": one.tied if rank < one.tied else None,
            "baseline": one.baseline,
        }
        for one in interventions
        for rank, (layer, feature) in enumerate(one.features)
    )


def interventions_of(rows: Interventions) -> tuple[Intervention, ...]:
    """The same interventions back from the store, in the order of their ablation, role and number.

    Raises `InputError` where they are edited at positions that there are not.
    """
    indices: dict[str, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        indices[rows.intervention_id[i]].append(i)
    interventions = []
    for members in indices.values():
        members.sort(key=lambda i: rows.rank[i])
        i = members[0]
        interventions.append(
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
                tied=max(map(int, _numbers([rows.tied[m] for m in members])), default=0),
                baseline=rows.baseline[i],
            )
        )
    return tuple(sorted(interventions, key=lambda one: (one.ablation, one.role, one.number)))


def _positions(name: str) -> At:
    if not re.fullmatch(r"-?\d{1,9}(,-?\d{1,9})*", name, re.ASCII):
        if name in get_args(NamedPositions):
            return cast("At", name)
        what = f"a feature is edited at {name[:60]!r}, which is no position"
        raise InputError(Fault("interventions", what, "take the run from where it was made"))
    return tuple(map(int, name.split(",")))


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    """Null comes from the store as None or NaN; a set has a number for each feature, or for none."""
    return tuple(float(v) for v in values if v is not None and v == v)
