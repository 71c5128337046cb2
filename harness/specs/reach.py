"""What the claims on a target can be given at best: each by itself, and corrected for being several.

A permutation test has a smallest p, and Holm (1979) multiplies it by the number of claims that are not yet
decided. So there are designs in which no data whatever can support every claim, and designs in which one
claim can be supported only where others are decided, too. Both are known before a run.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

from harness.errors import first_few
from harness.specs.claim_part import PartClaim
from harness.specs.claims import BehaviourClaim, Claim, FeatureClaim, is_equivalence
from harness.specs.clusters import FAMILY, sizes_of
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.design import (
    FULL_GROUP_UNITS,
    asking_for,
    smallest_bet,
    smallest_p,
    smallest_stable,
)
from harness.specs.edit_claims import (
    AblationClaim,
    CollateralClaim,
    DecoyClaim,
    StableClaim,
    TokensClaim,
)
from harness.specs.fields import BASELINES
from harness.specs.metrics import kind_of
from harness.specs.plan import Plan
from harness.specs.refits import COMBINED
from harness.specs.shuffled_sources import arrangements

MOST_UNITS = 512  # of a search: from here on flips are random, and their smallest p stays

Floors = Mapping[str, float]


def sizes_of_units(plan: Plan, claim: Claim) -> list[int]:
    """How many families each independent unit of a claim's test has: one each, where they are its units."""
    tag = plan.spec.cluster_of(claim)
    if isinstance(claim, StableClaim):
        return sizes_of(plan.clusters(drawn_tag(plan)), plan.families("discovery"))
    if isinstance(claim, CollateralClaim):
        clusters = plan.clusters(tag, claim.prompts)
        return sizes_of(clusters, clusters)
    if isinstance(claim, CrossfitClaim) and plan.refits:
        # It rests on the fewest that any of its splits has.
        plans = (replace(plan, refits=()), *plan.refits)
        return min((sizes_of_units(one, claim) for one in plans), key=len)
    families = plan.families("confirmation")
    if isinstance(claim, PartClaim) and claim.where:
        asked = {prompt.family for prompt in plan.prompts if claim.asks_of(prompt)}
        families = tuple(one for one in families if one in asked)
    sizes = sizes_of(plan.clusters(tag), families)
    if isinstance(claim, DecoyClaim):
        clusters = plan.clusters(tag, claim.prompts)
        of_kind: dict[str, set[str]] = defaultdict(set)
        for prompt in plan.others[claim.prompts]:
            of_kind[prompt.tags.get("decoy", "")].add(prompt.family)
        # It rests on the fewest: of a kind of decoy, or of those that confirm.
        sizes = min([sizes, *(sizes_of(clusters, own) for own in of_kind.values())], key=len)
    if isinstance(claim, TokensClaim):
        # Or on the texts, if these are fewer.
        texts = plan.others[plan.files_of("inject", claim.edit)[0]]
        sizes = min(sizes, [1] * len({text.family for text in texts}), key=len)
    return sizes


def drawn_tag(plan: Plan) -> str:
    """What halves of the discovering families are drawn by: what tests count, else what is split whole."""
    return plan.spec.cluster if plan.spec.cluster != FAMILY else plan.spec.split.by


def stable_at_best(plan: Plan, claim: StableClaim) -> float:
    """The smallest p of a claim about a selection, from how many features the target has; 0 if unknown."""
    (ablation,) = (one for one in plan.ablations if one.name == claim.edit)
    features = (plan.target.features or 0) * len(plan.layers)
    return smallest_stable(ablation.select.top, features) if features else 0.0


def units_of(plan: Plan, claim: Claim) -> int:
    """On how many independent units a claim is tested: families, or clusters of them."""
    return len(sizes_of_units(plan, claim))


def planned_units(plan: Plan) -> dict[str, int]:
    """By claim the number of units on which it is tested."""
    return {claim.name: units_of(plan, claim) for claim in tested(plan)}


def ranked_among(plan: Plan, claim: Claim) -> int:
    """Among how many sets of controls, random directions or sources a claim ranks; 0 without a rank."""
    if isinstance(claim, CrossfitClaim):
        (ablation,) = (one for one in plan.ablations if one.name == claim.edit)
        return ablation.controls * (claim.beyond == "controls")
    if not isinstance(claim, AblationClaim) or claim.within:
        return 0
    if claim.beyond == "zero" or claim.beyond in BASELINES:
        return 0
    (ablation,) = (one for one in plan.ablations if one.name == claim.edit)
    if claim.beyond == "shuffled":
        asked = {prompt.family for prompt in plan.of("confirmation") if claim.asks_of(prompt)}
        return arrangements(ablation.shuffled, len(plan.families("confirmation")), len(asked))
    return ablation.controls if claim.beyond == "controls" else ablation.directions


def sets_needed(plan: Plan, claim: AblationClaim | CrossfitClaim, sets: int) -> str:
    """What to ask for where a claim is to rank among so many sets, in words."""
    if claim.beyond == "shuffled":
        # With all that there are it ranks among their arrangements.
        sets = min(sets, len(plan.families("confirmation")) - 1)
    return f"{sets} {claim.beyond}"


def tested(plan: Plan) -> tuple[Claim, ...]:
    """The claims that are corrected for being several: no guard, and none about truth where none is known."""
    return tuple(
        claim
        for claim in plan.spec.claims_on(plan.target.name)
        if not isinstance(claim, FeatureClaim)
        or not (claim.guard or (claim.features == "truth" and plan.target.truth is None))
    )


def smallest_p_values(
    plan: Plan, *, units: Mapping[str, int] | None = None, controls: int = 0
) -> dict[str, float]:
    """By claim the smallest p with which it can be supported, before it is corrected.

    As planned, or with so many `units` of each claim's test, and with at least so many sets of `controls`.
    """
    given = planned_units(plan) if units is None else units
    found = {}
    for claim in tested(plan):
        if isinstance(claim, StableClaim):
            found[claim.name] = stable_at_best(plan, claim)
            continue
        sets = ranked_among(plan, claim)
        n, alpha = given[claim.name], plan.spec.contrast.alpha
        found[claim.name] = _smallest(claim, n, max(sets, controls) if sets else 0, alpha)
    return found


def bet_of(claim: Claim, units: int, alpha: float) -> float | None:
    """The smallest p of a claim that is tested by betting; None of others."""
    if not isinstance(claim, BehaviourClaim) or not claim.is_level:
        return None
    bounds = kind_of(claim.behaviour).bounds
    direction = -1 if claim.direction == "less" else 1
    return bounds and smallest_bet(units, claim.than, claim.within, direction, alpha, bounds)


def _smallest(claim: Claim, units: int, sets: int, alpha: float) -> float:
    if (bet := bet_of(claim, units, alpha)) is not None:
        return bet
    two_sided = smallest_p(units)
    # The whole group has each flip's opposite, of which a one-sided test counts one. How many flips of a
    # subgroup reach the strongest statistic is not known here: at least one.
    one_sided = two_sided / 2 if units <= FULL_GROUP_UNITS else two_sided
    if isinstance(claim, FeatureClaim) and claim.margin is not None:
        # What was observed counts beside the flips of what was centred.
        return one_sided / (1 + one_sided)
    by_flips = one_sided if is_equivalence(claim) else two_sided
    return combined(claim) * max(by_flips, 1 / (sets + 1) if sets else 0.0)


def combined(claim: Claim) -> int:
    """How many times the p of each of its tests a claim's own is."""
    return COMBINED if isinstance(claim, CrossfitClaim) else 1


def corrected(plan: Plan, p: Floors) -> dict[str, float]:
    """These p as the spec corrects them: by Holm, or as they are."""
    by_holm = plan.spec.order == "holm" and not plan.spec.unadjusted
    return holm(p) if by_holm else dict(p)


def holm(p: Floors) -> dict[str, float]:
    """Holm's adjusted p by name, as `stats.holm` gives them, without numpy; a test holds the two together."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for i, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, p[name] * (len(p) - i))
        adjusted[name] = min(largest, 1.0)
    return {name: adjusted[name] for name in p}


def never_together(plan: Plan) -> tuple[str, str] | None:
    """Which claims cannot be supported even where every claim is as clear as can be, and the remedy."""
    alpha, lowest = plan.spec.contrast.alpha, smallest_p_values(plan)
    best = corrected(plan, lowest)
    lost = [
        f"{name} has p_holm {p:.3g} at best (from p {lowest[name]:.3g})"
        for name, p in best.items()
        if p > alpha
    ]
    if not lost:
        return None
    what = f"its {len(lowest)} claims cannot all reach alpha {alpha:g}: {first_few(lost, 3)}"
    return what, _remedy(plan, lambda p: all(one <= alpha for one in holm(p).values()))


def dependent(plan: Plan) -> list[str]:
    """Claims that reach alpha only where others do, in words: held against the others at a p of 1."""
    alpha, lowest = plan.spec.contrast.alpha, smallest_p_values(plan)
    best = corrected(plan, lowest)
    together: dict[int, list[str]] = {}
    for name, p in lowest.items():
        alone = corrected(plan, dict.fromkeys(lowest, 1.0) | {name: p})[name]
        if best[name] <= alpha < alone:
            others = next(k for k in range(len(lowest)) if p * (len(lowest) - k) <= alpha)
            together.setdefault(others, []).append(f"{name} (smallest p {p:.3g})")
    if not together:
        return []
    claims = len(lowest)
    remedy = _remedy(plan, lambda p: all(one * claims <= alpha for one in p.values()))
    return [
        f"{plan.spec.name}: {first_few(names, 3)} reach{'es' * (len(names) == 1)} alpha {alpha:g} over "
        f"{claims} claims only where {others} other{'s do' if others > 1 else ' does'}; {remedy}"
        for others, names in sorted(together.items())
    ]


def _remedy(plan: Plan, suffices: Callable[[Floors], bool]) -> str:
    """What makes the claims' smallest p suffice: families and controls, or another correction."""
    ways = []
    controls = _controls_needed(plan, suffices)
    planned = planned_units(plan)
    own = min(planned[one.name] for one in _raised(plan)) if _raised(plan) else 0
    units = next(
        (
            n
            for n in range(own, max(own, MOST_UNITS) + 1)
            if suffices(smallest_p_values(plan, units=_with(plan, planned, n), controls=controls))
        ),
        None,
    )
    if units is not None:
        needs = []
        if controls:
            ranked = [one for one in tested(plan) if ranked_among(plan, one)]
            kinds = {
                sets_needed(plan, one, controls)
                for one in ranked
                if isinstance(one, AblationClaim | CrossfitClaim)
            }
            needs.append(f"ask for {' and '.join(sorted(kinds))}")
        if units > own:
            tags = {plan.spec.cluster_of(one) for one in _raised(plan)}
            tag = min(tags - {FAMILY}, default=FAMILY)
            needs.append(asking_for(plan.spec, len(plan.sides), units, tag))
        ways.append(" and ".join(needs))
    return ", or ".join([*ways, "declare `order: fixed-sequence`", "say why not in `unadjusted:`"])


def _raised(plan: Plan) -> list[Claim]:
    """The claims that more prompts of the spec's own could help."""
    return [one for one in tested(plan) if not isinstance(one, CollateralClaim | StableClaim)]


def _with(plan: Plan, planned: Mapping[str, int], least: int) -> dict[str, int]:
    """The units of each claim where each that more prompts could help has at least so many."""
    return {**planned, **{one.name: max(planned[one.name], least) for one in _raised(plan)}}


def _controls_needed(plan: Plan, suffices: Callable[[Floors], bool]) -> int:
    """The fewest sets of controls that suffice where units are no bound; 0 where the planned ones do."""
    # The last whose flips are a subgroup: the smallest p of all.
    many = _with(plan, planned_units(plan), MOST_UNITS - 1)
    claims, alpha = len(tested(plan)), plan.spec.contrast.alpha
    several = range(1, COMBINED * claims + 1)
    tried = (0, *(int(k / alpha) + more for k in several for more in (-1, 0)))
    return next((n for n in tried if suffices(smallest_p_values(plan, units=many, controls=n))), 0)
