"""Control sets of a selected set of features: the same number of every kind of feature, drawn at random.

A feature's kind is what it does where the edit acts: how often it fires there, how strongly, and how far
the edit moves the residual stream on average, in which a feature that fires nowhere there is one of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.stats import leaf_size, leaves, relabelled_sets, standard_profiles
from harness.store.tables.observations import EditActivity, FeatureActivity

Floats = NDArray[np.float64]
PROPERTIES = ("firing rate", "mean activation", "edit size")
NAMED, UNLIKE = 0.25, 0.75  # differences, in the layer's standard deviations: told, and too large
SILENT = 1e-6  # stands for the rate and activation of a feature that does not fire there


@dataclass(frozen=True)
class Candidates:
    """Every feature that a set may have, and what it is like where the edit acts.

    `features` has n of them; `profile`, their logarithms, and `standard`, these in standard deviations of
    the layer, are (n, 3) in the order of `PROPERTIES`; `size` is how far the edit moves the stream, and
    `fires` whether it does there at all, (n,).
    """

    features: tuple[Feature, ...]
    profile: Floats
    standard: Floats
    size: Floats
    fires: NDArray[np.bool_]

    def of(self, features: Sequence[Feature]) -> NDArray[np.intp]:
        """Where these are among the features, (n_features,). Raises `KeyError`."""
        return np.array([self._places[feature] for feature in features], np.intp)

    @cached_property
    def _places(self) -> dict[Feature, int]:
        return {feature: i for i, feature in enumerate(self.features)}


@dataclass(frozen=True)
class Balance:
    """How far a target and its controls lie apart in a property, on average over their features.

    `target` and `controls` are geometric means in its own unit; `difference` is that of the logarithms, in
    standard deviations of the layer.
    """

    property: str
    target: float
    controls: float
    difference: float


def candidates_of(
    ablation: Ablation, activity: FeatureActivity, edited: EditActivity
) -> Candidates:
    """The features that fire on the discovery prompts, by layer and index.

    `activity` is at all positions of the prompts, `edited` where the ablation edits.
    """
    rates: dict[Feature, tuple[float, float, float]] = {
        (int(layer), int(feature)): (0.0, 0.0, float(norm))
        for layer, feature, norm in zip(
            activity.layer, activity.feature, activity.decoder_norm, strict=True
        )
    }
    rates |= {
        (int(layer), int(feature)): (float(rate), float(mean), float(norm))
        for layer, feature, rate, mean, norm in zip(
            edited.layer,
            edited.feature,
            edited.firing_rate,
            edited.mean_activation,
            edited.decoder_norm,
            strict=True,
        )
    }
    features = tuple(sorted(rates))
    rate, mean, norm = np.array([rates[f] for f in features], float).reshape(-1, 3).T
    size = edit_size(ablation, rate, mean, norm)
    # They span orders of magnitude: alike is what has a like ratio.
    profile = np.log(np.maximum(np.column_stack([rate, mean, size]), SILENT))
    fires = rate > 0
    layers = np.array([layer for layer, _ in features])
    standard = np.zeros_like(profile)
    for own in (fires, ~fires):
        standard[own] = standard_profiles(layers[own], profile[own])
    return Candidates(features, profile, standard, size, fires)


def edit_size(ablation: Ablation, rate: Floats, mean: Floats, norm: Floats) -> Floats:
    """How far an edit of each feature moves the residual stream at an edited position, on average, (n,).

    `rate` is the share of those positions at which it fires, `mean` its value there, `norm` the length of
    its direction, (n,) each. Exact of zero, scale and steer; of clamp where the feature's values lie on one
    side of the clamped one; of mean and resample as if it had one value wherever it fires. Of the
    direction that is projected out it is the feature's own part.
    """
    value = ablation.value or 0.0
    moved = {
        "zero": rate * mean,
        "direction": rate * mean,
        "scale": abs(1 - value) * rate * mean,
        "steer": np.full_like(rate, abs(value)),
        "clamp": (1 - rate) * abs(value) + rate * np.abs(value - mean),
        "mean": 2 * rate * (1 - rate) * mean,
        "resample": 2 * rate * (1 - rate) * mean,
    }[ablation.kind]
    return np.asarray(moved * norm, dtype=float)


def draw_controls(
    candidates: Candidates, targets: Sequence[Feature], *, sets: int, alpha: float, seed: int
) -> list[tuple[Feature, ...]]:
    """Distinct sets of as many features of every leaf as the targets have there, in random order.

    As many as there are, where there are fewer than `sets`.
    """
    # A layer's silent features are one more layer: no leaf has both kinds.
    strata = [
        2 * layer + fires
        for (layer, _), fires in zip(candidates.features, candidates.fires.tolist(), strict=True)
    ]
    leaf = leaves(strata, candidates.standard, least=leaf_size(len(targets), alpha))
    drawn = relabelled_sets(candidates.of(targets), leaf, sets=sets, seed=seed)
    return [tuple(candidates.features[i] for i in row) for row in drawn.tolist()]


def mean_profiles(candidates: Candidates, sets: Sequence[Sequence[Feature]]) -> Floats:
    """What each set is like on average over its features, (n_sets, 3).

    Rate and activation in standard deviations of the layers, and how far its edits move the stream, as it
    is: to first order that is what an impact is proportional to.
    """
    places = [candidates.of(one) for one in sets]
    return np.array(
        [[*candidates.standard[i, :2].mean(axis=0), candidates.size[i].mean()] for i in places]
    )


def balance_of(
    candidates: Candidates, selected: Sequence[Feature], controls: Sequence[Sequence[Feature]]
) -> list[Balance]:
    """How like its controls the selected set is, in each property."""
    mine = candidates.of(selected)
    theirs = candidates.of([feature for one in controls for feature in one])
    found = []
    for i, name in enumerate(PROPERTIES):
        target, others = (
            float(np.exp(candidates.profile[some, i].mean())) for some in (mine, theirs)
        )
        difference = candidates.standard[mine, i].mean() - candidates.standard[theirs, i].mean()
        found.append(Balance(name, target, others, float(difference)))
    return found


def unlike(differences: Mapping[str, float], least: float) -> str:
    """The properties in which target and controls lie further apart than this, in words; or nothing."""
    return ", ".join(
        f"{name} {difference:+.2f} sd"
        for name, difference in differences.items()
        if abs(difference) > least
    )
