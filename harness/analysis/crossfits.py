"""Claims that hold on several splits of the families: on each with the set that is selected there.

On each split the claim is judged of that split's own set and confirming families, at half of alpha. A prompt
that selects on one split confirms on another, so that the splits' p hang together in ways that nobody knows.
Twice their median is a p whatever these are (Meinshausen, Meier and Buehlmann 2009, the quantile 1/2): that
k of K valid p are at most alpha / 2 has a chance of at most K alpha / 2k, of half of them alpha. Estimate and
interval are medians of what they are on each split, of intervals at 1 - alpha / 2: these hold the median of
the splits' means as often as 1 - alpha says (Chernozhukov, Demirer, Duflo and Fernandez-Val 2018).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness.analysis.ablation_impacts import AblationImpacts, ablation_impacts
from harness.analysis.ablation_rows import AblationRows
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.asked_prompts import asked_prompts
from harness.analysis.units import units_of
from harness.analysis.verdict import Verdict
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.edit_claims import AblationClaim
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import Origin
from harness.specs.refits import COMBINED, enough, name_of
from harness.store.interface import ReadStore
from harness.store.tables.results import CrossfitSplits


@dataclass(frozen=True)
class SplitSet:
    """What one split selected, and what its edit did to its confirming prompts: `impacts` by metric."""

    plan: Plan
    features: tuple[Feature, ...]
    impacts: Mapping[str, AblationImpacts]


@dataclass(frozen=True)
class Crossfit:
    """The `verdict` on a `claim` about `splits`, the spec's own first, and those `on` each of them."""

    claim: CrossfitClaim
    verdict: Verdict
    on: tuple[Verdict, ...]
    splits: tuple[SplitSet, ...]


def crossfits_of(
    source: ReadStore, run_id: str, here: Mapping[str, SplitSet], own_units: Mapping[str, str]
) -> dict[str, Crossfit]:
    """What becomes of each claim about several splits, by its name.

    `here` has each ablation on the spec's own split, by name, and `own_units` those of registered metrics.
    """
    found = {}
    for name, own in here.items():
        spec = own.plan.spec
        claims = spec.claims_on(own.plan.target.name)
        asking = [one for one in claims if isinstance(one, CrossfitClaim) and one.edit == name]
        splits = [own, *(_sets_again(source, own.plan, run_id, name, own_units) if asking else ())]
        for claim in asking:
            found[claim.name] = judge_crossfit(
                splits, claim, spec.metric_of(claim), spec.contrast.alpha
            )
    return found


def _sets_again(
    source: ReadStore, plan: Plan, run_id: str, name: str, own_units: Mapping[str, str]
) -> Iterator[SplitSet]:
    """What each further split selected for an ablation."""
    for number, refit in enumerate(plan.refits[: plan.ablation(name).splits - 1], start=1):
        ablation = refit.ablation(name_of(name, number))
        rows = AblationRows.read(source, run_id, ablation.name)
        impacts = ablation_impacts(refit, ablation, rows, own_units).impacts
        (features,) = (edit.features for edit in rows.interventions if edit.role == "target")
        yield SplitSet(refit, features, impacts)


def judge_crossfit(
    splits: Sequence[SplitSet], claim: CrossfitClaim, metric: str, alpha: float
) -> Crossfit:
    """What becomes of a claim about several splits, the spec's own first, in this metric."""
    judged = tuple(_judge_split(one, claim, metric, alpha / COMBINED) for one in splits)
    verdict = combine(judged, [one.features for one in splits], claim, alpha)
    return Crossfit(claim, verdict, judged, tuple(splits))


def _judge_split(split: SplitSet, claim: CrossfitClaim, metric: str, alpha: float) -> Verdict:
    """The same claim of one split alone: of its set, on its confirming families."""
    impacts = split.impacts[metric]
    tag = split.plan.spec.cluster_of(claim)
    impacts = replace(impacts, units=units_of(split.plan, impacts.units.families, tag))
    if claim.where:
        impacts = impacts.only(asked_prompts(split.plan, impacts.ablation, claim))
    alone = AblationClaim(
        name=claim.name,
        ablation=claim.edit,
        direction=claim.direction,
        beyond=claim.beyond,
        keeps=claim.keeps,
        metric=claim.metric,
        cluster=claim.cluster,
    )
    found = judge_ablation(impacts, alone, alpha)
    # What is not shown has the p of a test of two sides; of the claim it is none where it points away.
    side = (1 if claim.direction == "toward-correct" else -1) * impacts.kind.toward
    if found.verdict == "inconclusive" and found.estimate is not None and side * found.estimate < 0:
        return replace(found, p=1.0)
    return found


def combine(
    judged: Sequence[Verdict], sets: Sequence[Sequence[Feature]], claim: CrossfitClaim, alpha: float
) -> Verdict:
    """One verdict of those on each split: supported, or refuted, where half of them or more are.

    Units and floor are those of the thinnest split that half of them need.
    """
    shown, turned = (
        combined_p([_p_of(one, word, alpha / COMBINED) for one in judged])
        for word in ("supported", "refuted")
    )
    verdict = "supported" if shown <= alpha else "refuted" if turned <= alpha else "inconclusive"
    thinnest = sorted(judged, key=lambda one: one.n_units, reverse=True)[enough(len(judged)) - 1]
    found = Verdict(
        claim.name,
        claim.kind,
        thinnest.unit,
        n_units=thinnest.n_units,
        n_pairs=thinnest.n_pairs,
        floor=combined_p([one.floor for one in judged]),
    )
    if all(one.p is None for one in judged):
        reasons = "; ".join(dict.fromkeys(one.because for one in judged))
        return replace(
            found, because=f"on none of {len(judged)} splits it can be tested: {reasons}"
        )
    word = "refuted" if verdict == "refuted" else "supported"
    there = sum(one.verdict == word for one in judged)
    because = f"{word} on {there} of {len(judged)} splits at {alpha / COMBINED:g}, {_overlap(sets)}"
    tested = [one for one in judged if one.estimate is not None]
    if len(tested) < len(judged):
        because += f"; estimate of the {len(tested)} that can be tested"
    return replace(
        found,
        verdict=verdict,
        p=turned if verdict == "refuted" else shown,
        estimate=_median([one.estimate for one in tested], math.floor, math.ceil),
        ci_low=_median([one.ci_low for one in tested], math.floor),
        ci_high=_median([one.ci_high for one in tested], math.ceil),
        because=because,
    )


def combined_p(p: Sequence[float]) -> float:
    """Twice the median of several valid p values, of an even number the lower one; at most 1."""
    return min(1.0, COMBINED * sorted(p)[enough(len(p)) - 1])


def _p_of(one: Verdict, word: str, alpha: float) -> float:
    """A split's p for what the word says; 1 where what keeps it from being shown is not its p."""
    if one.p is None or one.estimate is None:
        return 1.0
    if one.verdict == word:
        return one.p
    return one.p if word == "supported" and one.verdict == "inconclusive" and one.p > alpha else 1.0


def _median(values: Sequence[float | None], *ways: Callable[[float], int]) -> float:
    """The middle of values; of an even number the lower, the upper, or the mean of both `ways` to round."""
    ordered = sorted(one for one in values if one is not None)
    middle = (len(ordered) - 1) / 2
    return sum(ordered[way(middle)] for way in ways) / len(ways)


def _overlap(sets: Sequence[Sequence[Feature]]) -> str:
    """How much the splits' sets share, in words: the mean over pairs of shared features of all in either."""
    pairs = [(set(one), set(other)) for one, other in combinations(sets, 2)]
    mean = sum(len(one & other) / len(one | other) for one, other in pairs) / len(pairs)
    return f"whose sets share {mean:.0%} of their features"


def crossfit_rows(found: Crossfit, run_id: str, origin: Origin) -> CrossfitSplits:
    """A row a split of one claim."""
    own = set(found.splits[0].features)
    return CrossfitSplits.of(
        {
            "run_id": run_id,
            "claim": found.claim.name,
            "ablation": found.claim.edit,
            "split": number,
            "seed": split.plan.spec.split.seed,
            "n_features": len(split.features),
            "n_shared": len(own & set(split.features)),
            "n_pairs": one.n_pairs,
            "n_units": one.n_units,
            "estimate": one.estimate,
            "ci_low": one.ci_low,
            "ci_high": one.ci_high,
            "unit": one.unit,
            "p": one.p,
            "verdict": one.verdict,
            "because": one.because,
            "origin": origin,
        }
        for number, (split, one) in enumerate(zip(found.splits, found.on, strict=True), start=1)
    )
