"""Claims about decoys: whether a frozen set of features answers an irrelevant contrast as the trait."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.analysis.mean_verdicts import side_of
from harness.analysis.pairs import PairedActivations
from harness.analysis.two_sample_tests import RatioTest
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.design import smallest_p
from harness.specs.edit_claims import DecoyClaim
from harness.specs.intervention import Feature
from harness.stats.ratios import TwoSampleRatio
from harness.store.tables.interventions import Decoys
from harness.store.tables.observations import FeatureActivity

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SetContrast:
    """How a set of features answers the trait: its `values` (n_pairs,) and what these are of, `units`.

    A value is the misconception variant's minus the correct one's, summed over features by `weights`: the
    length of each feature's direction, so that it is in units of the residual stream, with the sign of the
    feature's contrast on the discovering families, so that features of either direction add up.
    """

    values: Floats
    units: Units
    weights: Mapping[Feature, float]

    @classmethod
    def of(
        cls,
        features: Sequence[Feature],
        discovery: PairedActivations,
        confirmation: PairedActivations,
        activity: FeatureActivity,
    ) -> Self:
        """That of a frozen set, from the activations at the readout of both sides of the split."""
        at = zip(activity.layer, activity.feature, strict=True)
        lengths = {
            (int(layer), int(feature)): float(norm)
            for (layer, feature), norm in zip(at, activity.decoder_norm, strict=True)
        }
        weights = {
            one: lengths.get(one, 0.0) * float(np.sign(_difference(discovery, one).mean()))
            for one in features
        }
        values = np.zeros(len(confirmation.units.of))
        for one, weight in weights.items():
            values += weight * _difference(confirmation, one)
        return cls(values, confirmation.units, weights)


def _difference(data: PairedActivations, feature: Feature) -> Floats:
    """The misconception variants' values minus the correct ones', (n_pairs,): 0 where it is never active."""
    if feature not in data.features:
        return np.zeros(len(data.units.of))
    column = data.features.index(feature)
    return (data.misconception - data.correct)[:, [column]].toarray()[:, 0]


@dataclass(frozen=True)
class _Kind:
    """One irrelevant contrast: its ratio to the trait, and at alpha over all kinds (`strict`)."""

    name: str
    test: RatioTest
    strict: RatioTest
    n_pairs: int

    @property
    def ratio(self) -> TwoSampleRatio:
        return self.test.ratio

    @property
    def p(self) -> float:
        return self.test.p

    def __str__(self) -> str:
        name = f"{self.name} " if self.name else ""
        return f"{name}{self.ratio.ratio:+.2f} [{self.ratio.low:+.2f}, {self.ratio.high:+.2f}]"


def judge_decoy(
    rows: Decoys,
    claim: DecoyClaim,
    trait: SetContrast,
    alpha: float,
    units: Callable[[ArrayLike], Units] = Units.by_family,
) -> Verdict:
    """Whether a set of features answers each decoy by less than a share of what it answers the trait by.

    That every kind of decoy does is an intersection-union test (Berger 1982): each at alpha, and the worst is
    reported. That one does not is shown where its own test shows it at alpha divided by their number. The
    denominator has to differ from 0 in the trait's direction: else there is nothing to have a share of.
    `units` gives those of the decoys' families.
    """
    blank = Verdict(claim.name, claim.kind, "share")
    of_kind = {
        kind: (values, units(families))
        for kind, (values, families) in _contrasts(rows, claim.prompts, trait.weights).items()
    }
    n_units = min([trait.units.n, *(own.n for _, own in of_kind.values())])
    floor = smallest_p(n_units)
    blank = replace(blank, n_units=n_units, n_pairs=len(trait.values), floor=floor)
    if not of_kind or floor > alpha:
        return replace(
            blank, because=f"{n_units} {trait.units.names} can give no p below {floor:.3g}"
        )
    answered = side_of(trait.values, trait.units, 0.0, alpha)
    if not answered.rejects or answered.sign < 0:
        because = (
            f"the features do not answer the trait itself (p {answered.p:.2g}, {trait.units.words})"
        )
        return replace(blank, verdict="inconclusive", because=because)
    kinds = [
        _kind(name, values, own, trait, claim.less_than, alpha, len(of_kind))
        for name, (values, own) in of_kind.items()
    ]
    worst = max(kinds, key=lambda one: (one.ratio.side, one.ratio.side * -one.p, one.ratio.ratio))
    above = [one for one in kinds if one.strict.is_above(alpha / len(kinds))]
    below = [one.test.is_below(alpha) for one in kinds]
    verdict = "refuted" if above else "supported" if all(below) else "inconclusive"
    p = max(one.p if one.ratio.side < 0 else 1.0 for one in kinds)
    if above:
        worst = min(above, key=lambda one: one.p)
        p = min(1.0, worst.p * len(kinds))
    told = ", ".join(map(str, kinds))
    rests_on = _counts(trait.units, {kind: own for kind, (_, own) in of_kind.items()})
    because = f"{rests_on}, {told} of the trait, against {claim.less_than:g}"
    return replace(
        blank,
        verdict=verdict,
        estimate=worst.ratio.ratio,
        ci_low=worst.ratio.low,
        ci_high=worst.ratio.high,
        p=p,
        n_pairs=worst.n_pairs,
        because=because,
    )


def _counts(trait: Units, decoys: Mapping[str, Units]) -> str:
    """How many units the trait's contrast rests on, and that of each kind of decoy."""
    own: dict[str, list[str]] = {}
    for kind, units in decoys.items():
        own.setdefault(units.words, []).append(kind)
    if len(own) == 1:
        which = "each" if len(decoys) > 1 else "the"
        return f"{trait.words} of the trait and {next(iter(own))} of {which} decoy"
    several = ", ".join(f"{words} of {' and '.join(kinds)}" for words, kinds in own.items())
    return f"{trait.words} of the trait, {several}"


def _kind(
    name: str,
    values: Floats,
    units: Units,
    trait: SetContrast,
    share: float,
    alpha: float,
    kinds: int,
) -> _Kind:
    def test(level: float) -> RatioTest:
        return RatioTest.of(values, units, trait.values, trait.units, share=share, level=level)

    return _Kind(name, test(1 - alpha), test(1 - alpha / kinds), len(values))


def _contrasts(
    rows: Decoys, file: str, weights: Mapping[Feature, float]
) -> dict[str, tuple[Floats, NDArray[np.str_]]]:
    """By kind of decoy the set's contrast of each pair, (n_pairs,), and the pairs' families."""
    sums: dict[tuple[str, str, str], float] = {}
    for row in rows.rows():
        if row["file"] == file:
            sign = 1.0 if row["label"] == "misconception" else -1.0
            key = (row["decoy"], row["pair_id"], row["family"])
            weight = weights.get((row["layer"], row["feature"]), 0.0)
            sums[key] = sums.get(key, 0.0) + sign * weight * row["value"]
    found: dict[str, tuple[Floats, NDArray[np.str_]]] = {}
    for kind in sorted({kind for kind, _, _ in sums}):
        own = sorted(key for key in sums if key[0] == kind)
        found[kind] = (np.array([sums[key] for key in own]), np.array([key[2] for key in own]))
    return found
