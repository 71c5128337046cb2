"""Every edit that an ablation makes of its selected set and of its control sets, by role."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.specs.ablations import Ablation, dosed
from harness.specs.intervention import Feature, Intervention, Role

T = TypeVar("T")


def every_edit(
    ablation: Ablation,
    features: tuple[Feature, ...],
    scores: tuple[float, ...],
    controls: list[tuple[Feature, ...]],
    means: Mapping[Feature, float],
    shuffles: int,
) -> tuple[Intervention, ...]:
    """Every role's edits: of the features themselves, and of the control sets."""

    def edit(role: Role, number: int, features: tuple[Feature, ...]) -> Intervention:
        values: tuple[float, ...] = ()
        if ablation.kind == "mean":
            values = tuple(means.get(feature, 0.0) for feature in features)
        elif ablation.value is not None:
            values = (ablation.value,) * len(features)
        return Intervention(
            ablation=ablation.name,
            role=role,
            number=number,
            kind=ablation.kind,
            positions=ablation.positions,
            variant=ablation.variant,
            features=features,
            values=values,
            source=ablation.source,
        )

    target = replace(edit("target", 0, features), scores=scores)
    factors = list(dict.fromkeys(ablation.doses))
    baselines = enumerate(ablation.baselines)
    return (
        target,
        edit("no-op", 0, features),
        # A set of one is its own single feature.
        *(edit("single", i, (f,)) for i, f in enumerate(features) if len(features) > 1),
        *_one_left_out(ablation, target),
        *(scaled(replace(target, role="dose", number=i), f) for i, f in enumerate(factors)),
        *(edit("control", i, matched) for i, matched in enumerate(controls)),
        *(edit("rotated", i, features) for i in range(ablation.directions)),
        *(edit("shuffled", i, features) for i in range(shuffles)),
        *(replace(edit("baseline", i, features), baseline=one) for i, one in baselines),
        *[edit("complement", 0, features)] * ablation.complement,
        *_dose_controls(ablation, [edit("dose-control", 0, one) for one in controls]),
    )


def _one_left_out(ablation: Ablation, target: Intervention) -> list[Intervention]:
    """The same edit without each of its features in turn, where that is asked for and leaves any."""
    members = range(len(target.features))
    if not ablation.leave_one_out or len(members) < 2:
        return []

    def without(number: int, of: tuple[T, ...]) -> tuple[T, ...]:
        return of[:number] + of[number + 1 :]

    return [
        replace(
            target,
            role="without",
            number=i,
            features=without(i, target.features),
            values=without(i, target.values),
            scores=(),
        )
        for i in members
    ]


def scaled(edit: Intervention, factor: float) -> Intervention:
    """The edit of the same features that scales them, whatever the kind of the edit itself."""
    values = (factor,) * len(edit.features)
    return replace(edit, kind="scale", scores=(), source=None, values=values)


def _dose_controls(ablation: Ablation, controls: Sequence[Intervention]) -> list[Intervention]:
    """The first controls, scaled by each dose that is no edit of them already."""
    factors, sets = dosed(ablation)
    some = controls[:sets]
    every = [scaled(one, factor) for factor in factors for one in some]
    return [replace(one, number=i) for i, one in enumerate(every)]
