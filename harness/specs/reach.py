"""What the claims on a target can be given at best: each by itself, and corrected for being several.

A permutation test has a smallest p, and Holm (1979) multiplies it by the number of claims that are not yet
decided. So there are designs in which no data whatever can support every claim, and designs in which one
claim can be supported only where others are decided, too. Both are known before a run.
"""

from collections.abc import Callable, Mapping

from harness.errors import first_few
from harness.specs.claims import Claim, FeatureClaim, is_equivalence
from harness.specs.design import FULL_GROUP_UNITS, asking_for, smallest_p
from harness.specs.edit_claims import AblationClaim, CollateralClaim, DecoyClaim
from harness.specs.plan import Plan

MOST_FAMILIES = 512  # of a search: from here on flips are random, and their smallest p stays

Floors = Mapping[str, float]


def families_of(plan: Plan, claim: Claim) -> int:
    """On how many families a claim is tested."""
    if isinstance(claim, CollateralClaim):
        return len({prompt.family for prompt in plan.others[claim.prompts]})
    confirming = len(plan.families("confirmation"))
    if isinstance(claim, DecoyClaim):
        of = [(one.tags.get("decoy", ""), one.family) for one in plan.others[claim.prompts]]
        kinds = {kind for kind, _ in of}
        fewest = min((len({f for own, f in of if own == kind}) for kind in kinds), default=0)
        return min(confirming, fewest)
    return confirming


def ranked_among(plan: Plan, claim: Claim) -> int:
    """Among how many sets of controls, or random directions, a claim ranks; 0 of a claim without a rank."""
    if not isinstance(claim, AblationClaim) or claim.beyond == "zero" or claim.within:
        return 0
    (ablation,) = (one for one in plan.ablations if one.name == claim.edit)
    return ablation.controls if claim.beyond == "controls" else ablation.directions


def tested(plan: Plan) -> tuple[Claim, ...]:
    """The claims that are corrected for being several: no guard, and none about truth where none is known."""
    return tuple(
        claim
        for claim in plan.spec.claims_on(plan.target.name)
        if not isinstance(claim, FeatureClaim)
        or not (claim.guard or (claim.features == "truth" and plan.target.truth is None))
    )


def smallest_p_values(plan: Plan, *, families: int = 0, controls: int = 0) -> dict[str, float]:
    """By claim the smallest p with which it can be supported, before it is corrected.

    As planned, or with so many confirming `families`, and with at least so many sets of `controls`.
    """
    found = {}
    for claim in tested(plan):
        own = isinstance(claim, CollateralClaim | DecoyClaim) or not families
        units = families_of(plan, claim) if own else families
        sets = ranked_among(plan, claim)
        found[claim.name] = _smallest(claim, units, max(sets, controls) if sets else 0)
    return found


def _smallest(claim: Claim, units: int, sets: int) -> float:
    two_sided = smallest_p(units)
    # The whole group has each flip's opposite, of which a one-sided test counts one. How many flips of a
    # subgroup reach the strongest statistic is not known here: at least one.
    one_sided = two_sided / 2 if units <= FULL_GROUP_UNITS else two_sided
    if isinstance(claim, FeatureClaim) and claim.margin is not None:
        # What was observed counts beside the flips of what was centred.
        return one_sided / (1 + one_sided)
    by_flips = one_sided if is_equivalence(claim) else two_sided
    return max(by_flips, 1 / (sets + 1) if sets else 0.0)


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
    own = len(plan.families("confirmation"))
    families = next(
        (
            n
            for n in range(own, max(own, MOST_FAMILIES) + 1)
            if suffices(smallest_p_values(plan, families=n, controls=controls))
        ),
        None,
    )
    if families is not None:
        needs = []
        if controls:
            ranked = [one for one in tested(plan) if ranked_among(plan, one)]
            kinds = {one.beyond for one in ranked if isinstance(one, AblationClaim)}
            needs.append(f"ask for {controls} {' and '.join(sorted(kinds))}")
        if families > own:
            needs.append(asking_for(plan.spec, len(plan.sides), families))
        ways.append(" and ".join(needs))
    return ", or ".join([*ways, "declare `order: fixed-sequence`", "say why not in `unadjusted:`"])


def _controls_needed(plan: Plan, suffices: Callable[[Floors], bool]) -> int:
    """The fewest sets of controls that suffice where families are no bound; 0 where the planned ones do."""
    many = MOST_FAMILIES - 1  # the last whose flips are a subgroup: the smallest p of all
    claims, alpha = len(tested(plan)), plan.spec.contrast.alpha
    tried = (0, *(int(k / alpha) + more for k in range(1, claims + 1) for more in (-1, 0)))
    return next(
        (n for n in tried if suffices(smallest_p_values(plan, families=many, controls=n))), 0
    )
