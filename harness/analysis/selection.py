"""Choose what to edit from the discovery families, and its matched random controls."""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.analysis.controls import candidates_of, draw_controls
from harness.analysis.edit_roles import every_edit
from harness.analysis.pairs import Floats, PairedActivations, feature_means
from harness.analysis.units import units_of
from harness.errors import CannotRun, Fault, first_few
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature, Intervention
from harness.specs.known_features import KnownFeature
from harness.specs.plan import Plan
from harness.specs.shuffled_sources import shuffles_of
from harness.stats.max_t import paired_statistic
from harness.store.tables.observations import Attributions, EditActivity, FeatureActivity

TOLERANCE = 1e-9  # of a statistic, below which two are one
FeatureScores = Mapping[Feature, float]  # what features are ranked by, signed


def contrast_scores(
    plan: Plan, ablation: Ablation, discovery: PairedActivations, activity: FeatureActivity
) -> FeatureScores:
    """What an ablation ranks features by, positive where they are stronger in the misconception variants.

    Such a feature's removal is expected to move answers toward correct. By size it is the mean difference
    times the length of the feature's direction, in units of the residual stream, of features whose
    statistic agrees; by consistency the contrast's statistic. Features that are equal in the one come in
    the order of the other.
    """
    x, y = discovery.of("misconception"), discovery.of("correct")
    statistic = paired_statistic(x, y, discovery.units.of, statistic=plan.spec.contrast.statistic)
    size = feature_means(x - y) * lengths(discovery.features, activity)
    most = most_consistent(discovery.units.n)
    first, second = contrast_keys(ablation, size, statistic, most)
    order = np.argsort(-np.abs(second), kind="stable")
    return {discovery.features[i]: float(first[i]) for i in order}


def lengths(features: Sequence[Feature], activity: FeatureActivity) -> Floats:
    """How long each feature's direction is, (n_features,); 0 of what is not among the activity."""
    rows = zip(activity.layer, activity.feature, activity.decoder_norm, strict=True)
    norms = {(int(layer), int(feature)): float(norm) for layer, feature, norm in rows}
    return np.array([norms.get(feature, 0.0) for feature in features])


def contrast_keys(
    ablation: Ablation, size: Floats, statistic: Floats, most: float | Floats
) -> tuple[Floats, Floats]:
    """What features are ranked by, and what orders those that are equal in it, both signed.

    Of `size` and the contrast's `statistic`, (..., n_features), of which `most` is the largest that there
    can be.
    """
    # What is as consistent as can be is equal, whatever was lost in rounding: size orders it.
    at_most = np.abs(statistic) >= most - TOLERANCE
    statistic = np.where(at_most, np.sign(statistic) * most, statistic)
    size = np.where(np.sign(size) == np.sign(statistic), size, 0.0)
    return (size, statistic) if ablation.select.rank == "size" else (statistic, size)


def strongest_features(plan: Plan, data: PairedActivations, most: int) -> tuple[Feature, ...]:
    """The features whose variants differ most, in either direction, by the contrast's statistic.

    In the order of their tests: `feature_tests.statistic` has these numbers. Of one family there
    is no test, and of none nothing.
    """
    if data.units.n < 2 or not data.features:
        return ()
    contrast = plan.spec.contrast
    x, y = data.of(contrast.positive), data.of(contrast.negative)
    size = np.abs(paired_statistic(x, y, data.units.of, statistic=contrast.statistic))
    return tuple(data.features[i] for i in np.argsort(-size, kind="stable")[:most])


def attribution_scores(rows: Attributions, families: Collection[str]) -> FeatureScores:
    """Each feature's predicted effect in nats a family of these, positive toward correct.

    Over a balanced family the answers' words cancel: what is left is an effect on being right.
    """
    pairs = np.column_stack([np.asarray(rows.layer), np.asarray(rows.feature)])
    of_these = np.isin(np.asarray(rows.family, dtype=str), sorted(families))
    features, index = np.unique(pairs[of_these], axis=0, return_inverse=True)
    predicted = np.asarray(rows.predicted, dtype=float)[of_these]
    total = np.bincount(index.ravel(), predicted, len(features))
    return {
        (int(layer), int(feature)): float(effect) / len(families)
        for (layer, feature), effect in zip(features, total, strict=True)
    }


def truth_scores(truth: Collection[KnownFeature]) -> FeatureScores:
    """How well each known feature separates the voices, positive where it fires for the confusion."""
    return {(known.layer, known.feature): known.sign * known.auroc for known in truth}


def select_interventions(
    plan: Plan,
    ablation: Ablation,
    scores: FeatureScores,
    activity: FeatureActivity,
    edited: EditActivity,
    taken: tuple[Feature, ...] = (),
) -> tuple[Intervention, ...]:
    """The target set, its no-op, single features and doses, and its controls, best feature first.

    `scores` may be empty where features are listed, or `taken` as another eval froze them; `edited` is what
    features do where they are edited.
    Raises `CannotRun` where no feature qualifies, a listed one is not active, or no other set is like
    the target.
    """
    candidates = candidates_of(ablation, activity, edited)
    active = frozenset(candidates.features)
    own_scores: tuple[float, ...] = ()
    tied = 0
    if ablation.select.source:
        features = taken
    elif ablation.select.by == "list":
        features = _listed_features(plan, ablation, active)
    else:
        features, own_scores = _best_features(plan, ablation, scores, active)
        tied = _tied(plan, ablation, scores, active)
    # Of the spec's seed and the ablation's name: the same in every run, another for each ablation.
    seed = hashlib.sha256(f"{plan.spec.split.seed}/controls/{ablation.name}".encode()).digest()
    controls = draw_controls(
        candidates,
        features,
        sets=ablation.controls,
        alpha=plan.spec.contrast.alpha,
        seed=int.from_bytes(seed[:8], "big"),
    )
    if not controls:
        layers = sorted({layer for layer, _ in features})
        raise CannotRun(
            Fault(
                _place(plan, ablation),
                f"layer {first_few(map(str, layers))} has too few active features for any other "
                "set like the selected one",
                "take prompts on which more of its features fire"
                if ablation.select.source
                else "select fewer features",
            )
        )
    means = _mean_values(edited)
    shuffles = shuffles_of(plan, ablation)
    target, *others = every_edit(ablation, features, own_scores, controls, means, shuffles)
    return (replace(target, tied=tied), *others)


def _mean_values(edited: EditActivity) -> dict[Feature, float]:
    """What each feature is set to by a mean ablation: its mean at the edited positions."""
    return {
        (int(layer), int(feature)): float(value)
        for layer, feature, value in zip(
            edited.layer, edited.feature, edited.mean_value, strict=True
        )
        if value is not None and value == value
    }


def _listed_features(
    plan: Plan, ablation: Ablation, active: Collection[Feature]
) -> tuple[Feature, ...]:
    """The features that an ablation lists, in its order, each once. Raises `CannotRun`."""
    by_layer = ablation.select.features.items()
    features = tuple(dict.fromkeys((layer, index) for layer, some in by_layer for index in some))
    if silent := [f"{layer}:{index}" for layer, index in features if (layer, index) not in active]:
        raise CannotRun(
            Fault(
                _place(plan, ablation),
                f"no discovery prompt activates {first_few(silent)}, so nothing can be matched "
                "with it",
                "list other features, or use prompts that activate these",
            )
        )
    return features


def _best_features(
    plan: Plan, ablation: Ablation, scores: FeatureScores, active: Collection[Feature]
) -> tuple[tuple[Feature, ...], tuple[float, ...]]:
    """The active features of the highest scores on the wanted side, best first, with their scores.

    Raises `CannotRun` where there is none.
    """
    sign = expected_sign(ablation)
    ranked = sorted(
        (
            (sign * score, feature)
            for feature, score in scores.items()
            if sign * score > 0 and feature in active
        ),
        key=lambda item: -item[0],  # equal ones stay in their order
    )[: ablation.select.top]
    if not ranked:
        raise CannotRun(
            Fault(
                _place(plan, ablation),
                f"no feature qualifies by {ablation.select.by} on the discovery families",
                "widen the layers, or select another way",
            )
        )
    return tuple(feature for _, feature in ranked), tuple(sign * score for score, _ in ranked)


def _tied(
    plan: Plan, ablation: Ablation, scores: FeatureScores, active: Collection[Feature]
) -> int:
    """How many features are as consistent as any can be, where consistency is to order them.

    With few families many are. 0 where there are no two of them.
    """
    if (ablation.select.by, ablation.select.rank) != ("contrast", "consistency"):
        return 0
    units = units_of(plan, plan.families("discovery"), plan.spec.cluster)
    most = most_consistent(units.n) - TOLERANCE
    there = sum(
        expected_sign(ablation) * score >= most for f, score in scores.items() if f in active
    )
    return there if there > 1 else 0


def most_consistent(units: int) -> float:
    """The largest statistic that there can be: that of a feature of which all units say as much."""
    return math.sqrt(units)


def expected_sign(ablation: Ablation) -> float:
    """+1 where the features that are wanted have positive scores, else -1."""
    return 1.0 if ablation.select.toward == "correct" else -1.0


def _place(plan: Plan, ablation: Ablation) -> str:
    """What a fault names."""
    return f"{plan.spec.name}, ablation {ablation.name}"
