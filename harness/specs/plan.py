"""A spec on a target as work: which families discover, which confirm, and the units to compute.

A unit is data, and its id is made from its content, so it can be sent to another process and an
unfinished run can be taken up where it stopped.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby
from typing import Literal

from harness.contradictions import Contradiction
from harness.faults import Fault, InputError, first_few
from harness.records import LIMITED, Prompt
from harness.spec import Ablation, AblationClaim, FeatureClaim, Spec
from harness.target import Target

FEWEST = 2  # families that have a spread
FULL_GROUP_UNITS = 16  # as in stats.flips, which no ground module may import
Side = Literal["discovery", "confirmation"]
Where = Callable[..., str]  # a path in a spec, step by step, as file:line:column
Stage = Literal["observe", "generate", "survey", "attribute", "predict", "ablate", "trace"]


@dataclass(frozen=True)
class Unit:
    """One family in one stage: what a worker computes and the store commits at once."""

    stage: Stage
    family: str
    prompts: tuple[str, ...]
    ablation: str = ""

    @property
    def id(self) -> str:
        """A hash of the content."""
        content = "\x1f".join((self.stage, self.ablation, self.family, *self.prompts))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before a weight is loaded.

    `limit` is how many families of each side a trial was limited to; 0 where none is left out.
    """

    spec: Spec
    target: Target
    layers: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    sides: Mapping[str, Side]
    limit: int = 0

    @property
    def ablations(self) -> tuple[Ablation, ...]:
        """The ablations that are made on this target."""
        return self.spec.ablations_on(self.target.name)

    def families(self, side: Side) -> tuple[str, ...]:
        """The families of one side, by name."""
        return tuple(family for family, own in self.sides.items() if own == side)

    def of(self, side: Side) -> tuple[Prompt, ...]:
        """The prompts of one side, in file order."""
        return tuple(prompt for prompt in self.prompts if self.sides[prompt.family] == side)

    @property
    def limited(self) -> str | None:
        """Why a run of it is no evidence, where families are left out."""
        return f"{LIMITED}{self.limit} families of each side" if self.limit else None

    @property
    def prompts_hash(self) -> str:
        """Changes with any word, answer, pair, family or tag; not with the order of the lines."""
        lines = sorted(
            repr((p.id, p.pair_id, p.family, p.label, p.text, p.answer, p.correct, p.misconception,
                  sorted(p.tags.items())))
            for p in self.prompts
        )  # fmt: skip
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def units(self, stage: Stage, ablation: str = "") -> tuple[Unit, ...]:
        """The units of a stage, in an order that does not depend on the file's."""
        if stage in ("survey", "attribute"):
            chosen = self.of("discovery") or self.prompts
        elif stage in ("predict", "ablate", "trace"):
            chosen = self.of("confirmation")
        else:
            chosen = self.prompts
        if ablation:
            (wanted,) = (a for a in self.spec.ablations if a.name == ablation)
            chosen = tuple(prompt for prompt in chosen if prompt.label == wanted.variant)
        ordered = sorted(chosen, key=lambda prompt: (prompt.family, prompt.id))
        return tuple(
            Unit(stage, family, tuple(prompt.id for prompt in prompts), ablation)
            for family, prompts in groupby(ordered, key=lambda prompt: prompt.family)
        )


def make_plan(spec: Spec, target: Target, prompts: Sequence[Prompt]) -> Plan:
    """Decide everything that a spec leaves to the target and the prompts."""
    families = tuple(sorted({prompt.family for prompt in prompts}))
    return Plan(spec, target, layers_of(spec, target), tuple(prompts), split(families, spec))


def limited(plan: Plan, limit: int) -> Plan:
    """The plan on the first `limit` families of each side, by name: each stays on its side.

    Unchanged where no side has more. Raises `InputError` where so few can show nothing.
    """
    if limit < FEWEST:
        what = f"{limit} famil{'y has' if limit == 1 else 'ies have'} no spread to estimate"
        raise InputError(Fault("limit", what, f"take {FEWEST} or more"))
    kept = {*plan.families("discovery")[:limit], *plan.families("confirmation")[:limit]}
    if len(kept) == len(plan.sides):
        return plan
    prompts = tuple(prompt for prompt in plan.prompts if prompt.family in kept)
    sides = {family: side for family, side in plan.sides.items() if family in kept}
    return replace(plan, prompts=prompts, sides=sides, limit=limit)


def trial_of(plan: Plan, prompts_hash: str) -> Plan | None:
    """The limited plan that has these prompts; None where they are no first families of this one's."""
    trials = (limited(plan, limit) for limit in range(FEWEST, len(plan.sides)))
    return next((trial for trial in trials if trial.prompts_hash == prompts_hash), None)


def layers_of(spec: Spec, target: Target) -> tuple[int, ...]:
    """The layers that a spec reads on a target. `faults_of` says where they cannot be known."""
    chosen = spec.targets[target.name].layers
    if chosen == "none":
        return ()
    if chosen == "default":
        chosen = target.layers or "all"
    if isinstance(chosen, str):
        return tuple(range(target.blocks or 0))
    return tuple(sorted(set(chosen)))


def split(families: Sequence[str], spec: Spec) -> Mapping[str, Side]:
    """Each family's side, by a seeded hash of its name: the order of the file changes nothing."""
    order = sorted(
        families, key=lambda family: hashlib.sha256(f"{spec.split.seed}/{family}".encode()).digest()
    )
    share = spec.split.discovery
    discovery = set(order[: math.ceil(share * len(order))] if share else ())
    return {family: "discovery" if family in discovery else "confirmation" for family in families}


def faults_of(plan: Plan, where: Where) -> list[Fault]:
    """What makes the plan meaningless whatever the weights are; `where` places a part of the spec."""
    found = _unreadable(plan, where)
    if not plan.families("confirmation"):
        found.append(
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
    if plan.layers and plan.spec.readout.at in ("last_prompt_token", "prompt") and same:
        found.append(
            Fault(
                where("readout", "at"),
                f"both variants of {len(same)} of {len(texts)} pairs have the same prompt, so "
                f"at {plan.spec.readout.at} every difference is zero by construction "
                f"({first_few(same, 3)})",
                "use `readout: {at: answer}`, or prompts that differ before the answer",
            )
        )
    for i, ablation in enumerate(plan.spec.ablations):
        if ablation in plan.ablations:
            found += [
                Fault(where("ablations", i, *path), what, remedy)
                for path, what, remedy in _misplaced(plan, ablation, bool(same))
            ]
    return found


def _unreadable(plan: Plan, where: Where) -> list[Fault]:
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
    if not isinstance(ablation.positions, str):
        # No tokenizer makes more tokens of a text than it has bytes, beside a mark before it.
        longest = max((len(prompt.text.encode()) for prompt in plan.prompts), default=0)
        if absent := [place for place in ablation.positions if abs(place) > longest + 1]:
            yield (
                ("positions",),
                f"no prompt has a token {first_few(map(str, absent))}: the longest has "
                f"{longest} bytes",
                "count from 1 at the beginning, or from -1 at the end",
            )
    select = ablation.select
    if select.by == "contrast" and len(plan.families("discovery")) < 2:
        yield (
            ("select", "by"),
            "one family discovers, and a contrast needs two",
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


def unreachable(plan: Plan, where: Where) -> list[Fault]:
    """Claims that no result could support at the spec's alpha: too few families or controls."""
    alpha = plan.spec.contrast.alpha
    units = len(plan.families("confirmation"))
    found = []
    for i, claim in enumerate(plan.spec.claims):
        if claim not in plan.spec.claims_on(plan.target.name):
            continue
        equivalent = not isinstance(claim, FeatureClaim) and claim.within is not None
        if equivalent and units >= 2:
            continue
        if (floor := smallest_p(units)) > alpha:
            found.append(
                Fault(
                    where("claims", i),
                    f"claim '{claim.name}' cannot reach alpha {alpha:g}: {units} "
                    f"famil{'y' if units == 1 else 'ies'} can give no p below {floor:.3g}",
                    asked_for(alpha, plan.spec.split.discovery),
                )
            )
        if isinstance(claim, AblationClaim) and claim.beyond == "controls" and not claim.within:
            (ablation,) = (a for a in plan.ablations if a.name == claim.ablation)
            if 1 / (ablation.controls + 1) > alpha:
                found.append(
                    Fault(
                        where("claims", i),
                        f"claim '{claim.name}' cannot reach alpha {alpha:g}: its rank among "
                        f"{ablation.controls} controls can give no p below "
                        f"{1 / (ablation.controls + 1):.3g}",
                        f"ask for {math.ceil(1 / alpha - 1e-9) - 1} controls",
                    )
                )
    return found


def asked_for(alpha: float, discovery: float) -> str:
    """How many families a claim needs to reach alpha, where this share of them discovers."""
    needed = families_needed(alpha)
    if needed is None:
        return "no number of families can; raise alpha"
    more = f", {needed_in_all(needed, discovery)} in all" if discovery else ""
    return f"it needs {needed} families on the confirming side{more}"


def smallest_p(units: int) -> float:
    """The smallest two-sided p that sign flips of so many units can give."""
    if units > FULL_GROUP_UNITS:
        return 2.0 ** -(18 if 255 < units < 512 else 16)
    return 2.0 ** (1 - units) if units else 1.0


def families_needed(alpha: float) -> int | None:
    """The fewest families whose sign flips can give a p of alpha; None where no number can."""
    return next((units for units in range(1, 512) if smallest_p(units) <= alpha), None)


def needed_in_all(confirming: int, discovery: float) -> int:
    """The smallest number of families whose confirming side has so many."""
    start = max(confirming, int(confirming / (1 - discovery)) - 2)
    return next(n for n in count(start) if n - math.ceil(discovery * n) >= confirming)
