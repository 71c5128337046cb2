"""Choose what to ablate from the discovery families, and its matched random controls."""

import hashlib
from collections.abc import Mapping

import numpy as np

from harness.faults import CannotRun, Fault
from harness.interventions import Feature, Intervention, Role
from harness.pairs import Contrasted
from harness.plan import Plan
from harness.records import Attributions, FeatureActivity
from harness.spec import Ablation
from harness.stats.controls import matched_sets
from harness.stats.max_t import paired_statistic

Scores = Mapping[Feature, float]


def contrast_scores(plan: Plan, discovery: Contrasted) -> Scores:
    """Each feature's statistic, positive where it is stronger in the misconception variants.

    Such a feature's removal is expected to move answers toward correct. Equal statistics are told
    apart by the mean difference.
    """
    x, y = discovery.of("misconception"), discovery.of("correct")
    statistic = paired_statistic(x, y, discovery.units, statistic=plan.spec.contrast.statistic)
    difference = (x - y).mean(axis=0)
    tie = difference / (1 + np.abs(difference)) * 1e-6
    return dict(zip(discovery.features, (statistic + tie).tolist(), strict=True))


def attribution_scores(rows: Attributions, families: int) -> Scores:
    """Each feature's predicted effect in nats a family (of `families`), positive toward correct.

    Over a balanced family the answers' words cancel: what is left is an effect on being right.
    """
    pairs = np.column_stack([np.asarray(rows.layer), np.asarray(rows.feature)])
    features, index = np.unique(pairs, axis=0, return_inverse=True)
    total = np.bincount(index.ravel(), np.asarray(rows.predicted, dtype=float), len(features))
    return {
        (int(layer), int(feature)): float(effect) / families
        for (layer, feature), effect in zip(features, total, strict=True)
    }


def choose(
    plan: Plan, ablation: Ablation, scores: Scores, activity: FeatureActivity
) -> tuple[Intervention, ...]:
    """The target set, its single features, its no-op and its controls, best feature first.

    Raises `CannotRun` where no feature qualifies, or a layer is too small to match controls.
    """
    sign = 1.0 if ablation.select.toward == "correct" else -1.0
    ranked = sorted(
        ((sign * score, feature) for feature, score in scores.items() if sign * score > 0),
        key=lambda item: (-item[0], item[1]),
    )
    known = set(zip(map(int, activity.layer), map(int, activity.feature), strict=True))
    best = [(score, feature) for score, feature in ranked if feature in known]
    best = best[: ablation.select.top]
    if not best:
        raise CannotRun(
            Fault(
                f"{plan.spec.name}, ablation {ablation.name}",
                f"no feature qualifies by {ablation.select.by} on the discovery families",
                "widen the layers, or select another way",
            )
        )
    features = tuple(feature for _, feature in best)

    def edit(
        role: Role, number: int, features: tuple[Feature, ...], scores: tuple[float, ...] = ()
    ) -> Intervention:
        return Intervention(
            ablation.name,
            role,
            number,
            ablation.kind,
            ablation.positions,
            ablation.variant,
            features,
            scores,
        )

    target = edit("target", 0, features, tuple(sign * score for score, _ in best))
    singles = [edit("single", i, (feature,)) for i, feature in enumerate(features)]
    return (
        target,
        edit("no-op", 0, features),
        *(singles if len(features) > 1 else ()),
        *(
            edit("control", i, matched)
            for i, matched in enumerate(_controls(plan, ablation, features, activity))
        ),
    )


def _controls(
    plan: Plan, ablation: Ablation, targets: tuple[Feature, ...], activity: FeatureActivity
) -> list[tuple[Feature, ...]]:
    layers, index = np.asarray(activity.layer), np.asarray(activity.feature)
    profile = np.column_stack(
        [
            np.log(np.asarray(activity.firing_rate, dtype=float)),
            np.log(np.asarray(activity.mean_activation, dtype=float)),
            np.asarray(activity.decoder_norm, dtype=float),
        ]
    )
    at = {key: i for i, key in enumerate(zip(layers.tolist(), index.tolist(), strict=True))}
    seed = hashlib.sha256(f"{plan.spec.split.seed}/controls/{ablation.name}".encode()).digest()
    try:
        drawn = matched_sets(
            np.array([at[target] for target in targets]),
            layers,
            profile,
            sets=ablation.controls,
            seed=int.from_bytes(seed[:8], "big"),
        )
    except ValueError as error:
        raise CannotRun(
            Fault(
                f"{plan.spec.name}, ablation {ablation.name}", str(error), "select fewer features"
            )
        ) from None
    return [tuple((int(layers[i]), int(index[i])) for i in row) for row in drawn]
