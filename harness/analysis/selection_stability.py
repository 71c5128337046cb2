"""How stable the set is that an ablation selects: its rule on bootstraps and on halves of what discovers.

What is drawn are the units that tests take for independent, or the clusters that are split whole. A rule is
applied as it was to all of them, ties included: features that are equal in what they are ranked by come in
the order of what orders these, and then by layer and index, in every resample the same.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.ablation_rows import AblationRows
from harness.analysis.controls import candidates_of
from harness.analysis.pairs import Floats, PairedActivations
from harness.analysis.selection import contrast_keys, expected_sign, lengths
from harness.analysis.units import Units, units_of
from harness.specs.ablations import Ablation
from harness.specs.clusters import FAMILY
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import Origin
from harness.stats.resampled_statistics import (
    Weights,
    resampled_statistic,
    resampled_totals,
    sums_of_units,
)
from harness.stats.stability import (
    Mask,
    Places,
    bootstraps,
    halvings,
    jaccard,
    places,
    selected,
    stability,
)
from harness.store.tables.observations import Attributions, FeatureActivity
from harness.store.tables.results import SelectionOverlap, SelectionStability

BOOTSTRAPS, HALVINGS = 200, 100
Keys = Callable[[Weights], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Rule:
    """What an ablation selects by, on any resample of the units that are drawn.

    `keys` takes how often each unit is in a resample, (n_resamples, n_units), and says what the `features`
    are ranked by and what orders equal ones, (n_resamples, n_features) each; what is not wanted is 0 or less
    in the first. `drawn` are the units of whatever the rule is of, pairs or families.
    """

    keys: Keys
    features: tuple[Feature, ...]
    drawn: Units
    top: int

    @property
    def names(self) -> list[str]:
        """The units that are drawn, in the order of a resample's weights."""
        return sorted(set(self.drawn.of.tolist()))

    def choose(self, weights: Weights) -> tuple[Mask, Places]:
        """Which features each resample selects, and their ranks, (n_resamples, n_features)."""
        first, second = self.keys(weights)
        ranks = places(first, second)
        return selected(first, ranks, self.top), ranks


def drawn_units(plan: Plan, families: Collection[str]) -> Units:
    """What is drawn of these families (n,): what tests take for independent, else what is split whole."""
    tag = plan.spec.cluster if plan.spec.cluster != FAMILY else plan.spec.split.by
    return units_of(plan, list(families), tag)


def contrast_rule(
    plan: Plan, ablation: Ablation, discovery: PairedActivations, activity: FeatureActivity
) -> Rule:
    """That of `by: contrast`."""
    units = discovery.units
    drawn = drawn_units(plan, units.families.tolist())
    x, y = discovery.of("misconception"), discovery.of("correct")
    length = lengths(discovery.features, activity)
    names, codes = np.unique(drawn.of, return_inverse=True)
    sums = sums_of_units(x - y, codes, len(names)) * length[:, None]
    # Of the contrast's own units, each is as often there as what it is drawn with.
    own = np.unique(units.of, return_index=True)[1]
    sign = expected_sign(ablation)

    def keys(weights: Weights) -> tuple[Floats, Floats]:
        per_unit = weights[:, codes[own]]
        statistic = resampled_statistic(
            x, y, units.of, per_unit, statistic=plan.spec.contrast.statistic
        )
        most = np.sqrt(per_unit.sum(axis=1, keepdims=True))
        # A sum in place of the mean: within a resample it is as many pairs of each feature.
        size = resampled_totals(sums, weights)
        first, second = contrast_keys(ablation, size, statistic, most)
        return sign * first, second

    return Rule(keys, discovery.features, drawn, ablation.select.top)


def attribution_rule(plan: Plan, ablation: Ablation, rows: Attributions) -> Rule:
    """That of `by: attribution`: the summed prediction over families, whatever their number."""
    families = sorted(plan.families("discovery"))
    drawn = drawn_units(plan, families)
    names, codes = np.unique(drawn.of, return_inverse=True)
    place = dict(zip(families, codes.tolist(), strict=True))
    unit = np.array([place.get(str(family), -1) for family in rows.family], np.intp)
    pairs = np.column_stack([np.asarray(rows.layer), np.asarray(rows.feature)])
    of_these = unit >= 0
    features, column = np.unique(pairs[of_these], axis=0, return_inverse=True)
    sums = np.zeros((len(features), len(names)))
    predicted = np.asarray(rows.predicted, dtype=float)[of_these]
    np.add.at(sums, (column.ravel(), unit[of_these]), predicted)
    sums *= expected_sign(ablation)

    def keys(weights: Weights) -> tuple[Floats, Floats]:
        first = resampled_totals(sums, weights)
        return first, np.zeros_like(first)

    found = tuple((int(layer), int(feature)) for layer, feature in features)
    return Rule(keys, found, drawn, ablation.select.top)


def among(rule: Rule, active: Collection[Feature]) -> Rule:
    """The same rule, by which no other feature than these qualifies."""
    kept = np.array([feature in active for feature in rule.features], bool)

    def keys(weights: Weights) -> tuple[Floats, Floats]:
        first, second = rule.keys(weights)
        return np.where(kept, first, 0.0), second

    return Rule(keys, rule.features, rule.drawn, rule.top)


def stability_rows(
    plan: Plan,
    ablation: Ablation,
    chosen: Sequence[Feature],
    discovery: PairedActivations,
    measured: AblationRows,
    run_id: str,
    origin: Origin,
) -> tuple[SelectionStability, SelectionOverlap]:
    """Rows of each feature that was `chosen`, or is in a bootstrap, and of how far the sets overlap.

    None where families did not select them, or fewer than two units are drawn. All is seeded by the split's
    seed and the ablation's name.
    """
    nothing = SelectionStability.of([]), SelectionOverlap.of([])
    if not ablation.select.uses_families:
        return nothing
    if ablation.select.by == "contrast":
        rule = contrast_rule(plan, ablation, discovery, measured.activity)
    else:
        rule = attribution_rule(plan, ablation, measured.predictions)
    n_units = len(rule.names)
    if n_units < 2 or not rule.features:
        return nothing
    active = frozenset(candidates_of(ablation, measured.activity, measured.edited).features)
    rule = among(rule, active)
    name = f"{plan.spec.split.seed}/stability/{ablation.name}".encode()
    seed = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
    sets, ranks = rule.choose(bootstraps(n_units, BOOTSTRAPS, seed))
    target = np.array([feature in set(chosen) for feature in rule.features], bool)
    (shown,) = np.nonzero(target | sets.any(axis=0))
    found = stability(sets[:, shown], ranks[:, shown])
    half = halvings(n_units, HALVINGS, seed)
    one, other = rule.choose(half)[0], rule.choose(1 - half)[0]
    common = {"run_id": run_id, "ablation": ablation.name, "origin": origin}
    features = SelectionStability.filled(
        layer=[rule.features[i][0] for i in shown],
        feature=[rule.features[i][1] for i in shown],
        share=found.share,
        half_share=((one.mean(axis=0) + other.mean(axis=0)) / 2)[shown],
        selected=target[shown],
        rank_low=found.rank_low,
        rank_high=found.rank_high,
        **common,
    )
    overlap = {
        "unit": rule.drawn.tag,
        "n_units": n_units,
        "bootstraps": BOOTSTRAPS,
        "jaccard": float(jaccard(sets, target[None]).mean()),
        "halvings": HALVINGS,
        "halves": float(jaccard(one, other).mean()),
        "candidates": len(active.intersection(rule.features)),
    }
    return features, SelectionOverlap.of([common | overlap])
