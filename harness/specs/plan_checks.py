"""What is wrong with a plan, whatever the weights are, and claims that nothing could support."""

import math
from collections.abc import Callable, Iterator

from harness.errors import Fault, InputError, first_few
from harness.specs.ablations import Ablation
from harness.specs.chat import ROLE_POSITIONS
from harness.specs.claims import BehaviourClaim, FeatureClaim
from harness.specs.clusters import counted, sizes_of
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.design import TO_CONTRAST, asked_for, smallest_p
from harness.specs.edit_claims import AblationClaim, DecoyClaim, StableClaim
from harness.specs.fields import BEFORE_ANSWERS, Contradiction, KeyPath
from harness.specs.parts import faults_of_parts
from harness.specs.plan import FEWEST, Plan
from harness.specs.prompt import pairs_of
from harness.specs.reach import (
    bet_of,
    combined,
    drawn_tag,
    never_together,
    ranked_among,
    sets_needed,
    stable_at_best,
    units_of,
)

Locate = Callable[..., str]  # a part of a spec, key by key, as file:line:column


def faults_of(plan: Plan, where: Locate) -> list[Fault]:
    """What makes the plan meaningless whatever the weights are; `where` places a part of the spec."""
    faults = [*_unreadable(plan, where), *faults_of_parts(plan, where), *_roleless(plan, where)]
    if not plan.families("confirmation"):
        faults.append(
            Fault(
                where("split", "discovery"),
                f"all {len(plan.sides)} families discover and none is left to confirm",
                "lower the share, or add families",
            )
        )
    texts: dict[str, set[str]] = {}
    for prompt in plan.prompts:
        texts.setdefault(prompt.pair_id, set()).add(prompt.text)
    same = [pair for pair, distinct in texts.items() if len(distinct) == 1]
    # Where no layer is read there is no readout.
    if plan.layers and plan.spec.readout.at in BEFORE_ANSWERS and same:
        faults.append(
            Fault(
                where("readout", "at"),
                f"both variants of {len(same)} of {len(texts)} pairs have the same prompt, so "
                f"at {plan.spec.readout.at} every difference is zero by construction "
                f"({first_few(same, 3)})",
                "use `readout: {at: answer}`, or prompts that differ before the answer",
            )
        )
    faults += [*_without_baseline(plan, where), *_without_contrast(plan, where)]
    made = {ablation.name for ablation in plan.ablations}
    for i, ablation in enumerate(plan.spec.ablations):
        if ablation.name in made:
            faults += [
                Fault(where("ablations", i, *path), what, remedy)
                for path, what, remedy in _misplaced(plan, ablation, bool(same))
            ]
    return faults


def _without_baseline(plan: Plan, where: Locate) -> Iterator[Fault]:
    """Claims about what a scene adds, where prompts do not say what they are without it."""
    bare = [prompt for prompt in plan.prompts if not prompt.baseline]
    made = plan.spec.claims_on(plan.target.name)
    for i, claim in enumerate(plan.spec.claims):
        asks = isinstance(claim, BehaviourClaim) and claim.beyond == "baseline" and claim in made
        if bare and asks:
            first = min(prompt.line for prompt in bare)
            yield Fault(
                where("claims", i, "beyond"),
                f"{len(bare)} of {len(plan.prompts)} prompts of {plan.spec.prompts} have no `baseline`, "
                f"the first on line {first}",
                "give each line its sentence without the scene as `baseline`",
            )


def _without_contrast(plan: Plan, where: Locate) -> Iterator[Fault]:
    """Claims about decoys whose variants have the same prompt, where features are read before the answer."""
    made = plan.spec.claims_on(plan.target.name)
    if plan.spec.readout.at not in BEFORE_ANSWERS:
        return
    for i, claim in enumerate(plan.spec.claims):
        if isinstance(claim, DecoyClaim) and claim in made:
            pairs = pairs_of(plan.others[claim.prompts])
            same = [one for one in pairs if one.correct.text == one.misconception.text]
            if same:
                yield Fault(
                    where("claims", i, "prompts"),
                    f"both variants of {len(same)} of {len(pairs)} pairs of {claim.prompts} have the same "
                    f"prompt, so at {plan.spec.readout.at} they are no contrast",
                    "name pairs that differ before the answer",
                )


def _unreadable(plan: Plan, where: Locate) -> list[Fault]:
    """Layers that the target does not have, or of which no SAE is meant."""
    target, layers = plan.target, plan.layers
    here = where("targets", target.name, "layers")
    most = target.blocks
    missing = [n for n in layers if n < 0 or (most is not None and n >= most)]
    if missing:
        remedy = "count them from 0" if most is None else f"name layers from 0 to {most - 1}"
        what = f"{target.name} has no layer {first_few(map(str, missing))}"
        return [Fault(here, what, remedy)]
    if not layers:
        if plan.spec.targets[target.name].layers != "none":
            what = f"how many layers {target.name} has is not known before it is loaded"
            return [Fault(here, what, "list the layers to read: [0, 6, 12]")]
        return [
            Fault(where(part, i), "it needs SAEs, and no layer is read", "name some `layers`")
            for part, i in _reading(plan)
        ]
    choice = plan.spec.targets[target.name]
    key = "width" if choice.width else "l0" if choice.l0 is not None else "layers"
    here = where("targets", target.name, key)
    faults: list[Fault] = []
    for layer in layers:
        try:
            target.entry(layer)
        except InputError as error:
            faults += [Fault(here, f"{f.where}: {f.what}", f.remedy) for f in error.faults]
    return faults


def _roleless(plan: Plan, where: Locate) -> Iterator[Fault]:
    """Positions of a role where a prompt is no chat, and nobody says anything in it."""
    lines = [prompt.line for prompt in plan.prompts if not prompt.chat]
    if not lines:
        return
    places: list[tuple[object, KeyPath]] = (
        [(plan.spec.readout.at, ("readout", "at"))] if plan.layers else []
    )
    places += [
        (ablation.positions, ("ablations", i, "positions"))
        for i, ablation in enumerate(plan.spec.ablations)
        if ablation in plan.ablations
    ]
    for at, keys in places:
        if at in ROLE_POSITIONS:
            what = f"`{at}` is of chats, and the prompts of {len(lines)} lines are none, the first "
            remedy = "set `chat: true`, or write prompts as messages"
            yield Fault(where(*keys), f"{what}in line {min(lines)}", remedy)


def _reading(plan: Plan) -> Iterator[tuple[str, int]]:
    """The parts of a spec that need SAEs."""
    name = plan.target.name
    for i, ablation in enumerate(plan.spec.ablations):
        if ablation in plan.ablations:
            yield "ablations", i
    for i, claim in enumerate(plan.spec.claims):
        if isinstance(claim, FeatureClaim) and claim in plan.spec.claims_on(name):
            yield "claims", i


def _misplaced(plan: Plan, ablation: Ablation, shared: bool) -> Iterator[Contradiction]:
    """What is wrong with an ablation on these prompts and this target."""
    if ablation.source == "pair" and shared:
        yield (
            ("source",),
            "the impact is zero by construction: both variants of a pair have the same prompt",
            "use `source: random`",
        )
    if not isinstance(ablation.positions, str) and not any(p.chat for p in plan.prompts):
        # No tokenizer makes more tokens of a text than it has bytes, beside a mark before it.
        longest = max((len(prompt.text.encode()) for prompt in plan.prompts), default=0)
        if absent := [place for place in ablation.positions if abs(place) > longest + 1]:
            yield (
                ("positions",),
                f"no prompt has a token {first_few(map(str, absent))}: the longest has "
                f"{longest} bytes",
                "count from 1 at the beginning, or from -1 at the end",
            )
    if ablation.kind == "direction" and plan.target.hook == "transcoder":
        yield (
            ("kind",),
            "a transcoder writes in another space than it reads, and has no direction there to take out",
            "use another kind, or SAEs of another hook",
        )
    select = ablation.select
    for made in (plan, *plan.refits[: ablation.splits - 1]):
        tag = made.spec.cluster
        discover = len(sizes_of(made.clusters(tag), made.families("discovery")))
        if select.by == "contrast" and discover < TO_CONTRAST:
            yield (
                ("select", "by"),
                f"one {tag} discovers{' on another split' * (made is not plan)}, and a contrast needs two",
                "give discovery a larger share, or select another way",
            )
    missing = [layer for layer in select.features if layer not in plan.layers]
    if missing:
        yield (
            ("select", "features"),
            f"layer {first_few(map(str, missing))} is not among those that are read on "
            f"{plan.target.name}",
            f"use {first_few(map(str, plan.layers), 8)}, or add it to the target's layers",
        )
    most = plan.target.features
    beyond = [f for some in select.features.values() for f in some if most and f >= most]
    if beyond and most:
        yield (
            ("select", "features"),
            f"{plan.target.name} has no feature {first_few(map(str, beyond))}",
            f"name features from 0 to {most - 1}",
        )
    if select.by == "truth" and plan.target.truth is None:
        yield (
            ("select", "by"),
            f"{plan.target.name} has no known truth",
            "select another way, or restrict the ablation with `only`",
        )


def unreachable(plan: Plan, where: Locate) -> list[Fault]:
    """Claims that no result could support at the spec's alpha: too few families or controls.

    Each by itself, and where each can be, all of them beside each other.
    """
    alpha = plan.spec.contrast.alpha
    made = {claim.name for claim in plan.spec.claims_on(plan.target.name)}
    faults = []
    for i, claim in enumerate(plan.spec.claims):
        if claim.name not in made:
            continue
        if isinstance(claim, StableClaim):
            faults += _unstable(plan, claim, where("claims", i))
            continue
        units, tag = units_of(plan, claim), plan.spec.cluster_of(claim)
        bet = bet_of(claim, units, alpha)
        if bet is not None and bet > alpha:
            what = (
                f"claim '{claim.name}' cannot reach alpha {alpha:g}: bets on {counted(units, tag)}"
            )
            remedy = "add families, or hold it against a value farther from what can be"
            faults.append(
                Fault(where("claims", i), f"{what} can give no p below {bet:.3g}", remedy)
            )
        elif bet is None and (floor := combined(claim) * smallest_p(units)) > alpha:
            faults.append(
                Fault(
                    where("claims", i),
                    f"claim '{claim.name}' cannot reach alpha {alpha:g}: {counted(units, tag)} can give no p "
                    f"below {floor:.3g}",
                    asked_for(plan.spec, len(plan.sides), tag, 1 / combined(claim)),
                )
            )
        if (sets := ranked_among(plan, claim)) and (floor := combined(claim) / (sets + 1)) > alpha:
            assert isinstance(claim, AblationClaim | CrossfitClaim)
            faults.append(
                Fault(
                    where("claims", i),
                    f"claim '{claim.name}' cannot reach alpha {alpha:g}: its rank among "
                    f"{sets} {claim.beyond} can give no p below {floor:.3g}",
                    f"ask for {sets_needed(plan, claim, math.ceil(combined(claim) / alpha - 1e-9) - 1)}",
                )
            )
    if not faults and (together := never_together(plan)):
        faults.append(Fault(where("claims"), *together))
    return faults


def _unstable(plan: Plan, claim: StableClaim, at: str) -> list[Fault]:
    """What keeps a selection from being shown to be stable: too many of too few features, or two units."""
    alpha, units = plan.spec.contrast.alpha, units_of(plan, claim)
    what = f"claim '{claim.name}' cannot reach alpha {alpha:g}"
    if (floor := stable_at_best(plan, claim)) > alpha:
        features = (plan.target.features or 0) * len(plan.layers)
        said = f"{what}: so many of {features} features can give no p below {floor:.3g}"
        most = int((alpha * features) ** 0.5 + 1e-9)
        return [Fault(at, said, f"select `top: {max(most, 1)}` or fewer, or read more layers")]
    if units < 2 * FEWEST:
        said = f"{what}: {counted(units, drawn_tag(plan))} that discover have no halves of two"
        return [Fault(at, said, "give discovery a larger share, or add families")]
    return []
