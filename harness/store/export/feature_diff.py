"""Which features differ between two sides, pair by pair: a look, not a test."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.errors import Fault, InputError
from harness.specs.prompt import LABELS, Label
from harness.store.export.formats import DiffReport, FeatureLine, LayerDiff, PairDiff

Key = tuple[str, str | None, int]  # pair, prompt where both sides have it, layer
_Entry = tuple[int, float, float | None, float | None]  # feature, magnitude, a, b


def diff_features(
    a: Sequence[FeatureLine],
    b: Sequence[FeatureLine] | None,
    *,
    names: tuple[str, str],
    top: int = 20,
) -> DiffReport:
    """The `top` features that differ most, of every pair and layer, and of every layer on average.

    Without `b`, and where the two sides have no label in common, the sides are the variants of each
    pair; else the same prompts in two runs. Raises `InputError` where the sides share nothing.
    """
    if b is None:
        first, second = (_labelled(a, label) for label in LABELS)
        names = (f"{names[0]}, {LABELS[0]}", f"{names[0]}, {LABELS[1]}")
        by_prompt = False
    else:
        by_prompt = bool({line.label for line in a} & {line.label for line in b})
        first, second = _keyed(a, by_prompt), _keyed(b, by_prompt)
    shared = [key for key in first if key in second]
    if not shared:
        raise InputError(
            Fault(
                f"{names[0]} and {names[1]}", "they have no pair and layer in common", "name others"
            )
        )
    diffs = {key: _entries(first[key], second[key]) for key in shared}
    cut = {
        layer: tuple(
            any(_is_cut(side[key]) for key in shared if key[2] == layer) for side in (first, second)
        )
        for layer in sorted({key[2] for key in shared})
    }
    return DiffReport(
        a=names[0],
        b=names[1],
        topk_features=top,
        diffs_by_layer={
            layer: _layer([diffs[key] for key in shared if key[2] == layer], sides, top)
            for layer, sides in cut.items()
        },
        all_diffs=tuple(
            PairDiff(pair_id=pair, id=prompt, layer=layer, **_columns(entries[:top]))
            for (pair, prompt, layer), entries in diffs.items()
        ),
        origin=max((line.origin for line in (*a, *(b or ()))), key=_ORIGINS.index),
    )


_ORIGINS = ("real", "stand-in", "mock")  # a mock on either side makes all of it one


def _labelled(lines: Iterable[FeatureLine], label: Label) -> dict[Key, FeatureLine]:
    return _keyed([line for line in lines if line.label == label], own=False)


def _keyed(lines: Iterable[FeatureLine], own: bool) -> dict[Key, FeatureLine]:
    return {(line.pair_id, line.id if own else None, line.layer): line for line in lines}


def _entries(a: FeatureLine, b: FeatureLine) -> list[_Entry]:
    """Every feature that either side lists, the largest difference first."""
    first, second = (
        dict(zip(line.topk_feature_ids, line.topk_feature_activations, strict=True))
        for line in (a, b)
    )
    entries = []
    for feature in first.keys() | second.keys():
        x, y = _value(first, feature, a), _value(second, feature, b)
        entries.append((feature, _least(x, y, first, second), x, y))
    return sorted(entries, key=lambda entry: (-entry[1], entry[0]))


def _value(values: Mapping[int, float], feature: int, line: FeatureLine) -> float | None:
    """0 where the feature is not active; None where the list was cut off before it."""
    return values.get(feature, None if _is_cut(line) else 0.0)


def _is_cut(line: FeatureLine) -> bool:
    return line.active is None or len(line.topk_feature_ids) < line.active


def _least(
    x: float | None, y: float | None, first: Mapping[int, float], second: Mapping[int, float]
) -> float:
    """|x - y|; of a value that was cut off, which is at most its list's least, the least it can be."""
    if x is None:
        return max(0.0, (y or 0.0) - min(first.values(), default=math.inf))
    if y is None:
        return max(0.0, x - min(second.values(), default=math.inf))
    return abs(x - y)


def _columns(entries: Sequence[_Entry]) -> dict[str, Any]:
    names = ("top_diff_features", "diff_magnitudes", "activations_a", "activations_b")
    return {name: tuple(entry[i] for entry in entries) for i, name in enumerate(names)}


def _layer(diffs: Sequence[Sequence[_Entry]], cut: tuple[bool, ...], top: int) -> LayerDiff:
    """Means over all pairs. Where a value is not known, as a list was cut off, neither is the mean."""
    by_feature: dict[int, list[_Entry]] = defaultdict(list)
    for entries in diffs:
        for entry in entries:
            by_feature[entry[0]].append(entry)
    n = len(diffs)

    def mean(feature: int, side: int) -> float | None:
        values = [entry[side] for entry in by_feature[feature]]
        if None in values or (cut[side - 2] and len(values) < n):
            return None
        return sum(value or 0.0 for value in values) / n

    sizes = {
        feature: sum(entry[1] for entry in entries) / n for feature, entries in by_feature.items()
    }
    best = sorted(sizes, key=lambda feature: (-sizes[feature], feature))[:top]
    means = [(feature, sizes[feature], mean(feature, 2), mean(feature, 3)) for feature in best]
    return LayerDiff(n_diffs=n, **_columns(means))
