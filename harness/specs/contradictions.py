"""What is wrong between the parts of a well-formed spec, before any prompt or target is looked at."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import nearest
from harness.specs.ablations import Ablation
from harness.specs.baseline_checks import wrong_baselines, wrong_rivals
from harness.specs.claim_part import ClaimPart
from harness.specs.claims import CLAIM_KINDS, BehaviourClaim, Claim, FeatureClaim
from harness.specs.clusters import FAMILY
from harness.specs.edit_claims import (
    AblationClaim,
    CollateralClaim,
    EditClaim,
    MonotoneClaim,
    SpecificClaim,
    StableClaim,
    TokensClaim,
)
from harness.specs.fields import VALUED, Contradiction, KeyPath, Name
from harness.specs.metric_checks import wrong_metrics
from harness.specs.refits import wrong_crossfit, wrong_splits
from harness.specs.selections import needs_discovery, wrong_selection
from harness.specs.set_checks import wrong_set_claim, wrong_sets
from harness.specs.spec import Spec


def contradictions(spec: Spec) -> list[Contradiction]:
    """What is wrong between the parts of a well-formed spec: (path, what, what to do)."""
    problems: list[Contradiction] = []
    for part in ("ablations", "claims"):
        names = [((part, i, "name"), item.name) for i, item in enumerate(getattr(spec, part))]
        problems += _twins(names)
    problems += _twins([(("targets", name), name) for name in spec.targets])
    for target in spec.targets:
        if not spec.claims_on(target):
            problems.append(
                (("targets", target), f"no claim is made on {target}", "drop it, or make a claim")
            )
    if spec.contrast.of == spec.contrast.against:
        problems.append(
            (("contrast", "against"), "a variant is compared with itself", "name the other one")
        )
    elif spec.contrast.of.casefold() == spec.contrast.against.casefold():
        what = f"'{spec.contrast.against}' differs from '{spec.contrast.of}' only in case"
        problems.append((("contrast", "against"), what, "rename one, in the prompt file as well"))
    if spec.split.strata and spec.split.by != FAMILY:
        what = f"what is split is each {spec.split.by}, which has no strata"
        problems.append((("split", "strata"), what, "drop it, or split `by: family`"))
    if spec.split.discovery == 0 and (needed := needs_discovery(spec)):
        remedy = "give discovery a share such as 0.5, or drop the ablations"
        problems.append((("split", "discovery"), needed, remedy))
    problems += wrong_metrics(spec)
    for i, ablation in enumerate(spec.ablations):
        problems += _below(("ablations", i), _misfit(spec, ablation) + _powerless(spec, ablation))
    for i, claim in enumerate(spec.claims):
        problems += _below(("claims", i), _unclear(spec, claim))
    return problems


def sound_part(
    data: dict[str, Any], faulty: Collection[KeyPath]
) -> tuple[Spec | None, set[KeyPath]]:
    """A spec that has something harmless in place of each part that is faulty, and those parts.

    What its contradictions say of other parts holds of the spec as it is written. None where too
    little of it is left.
    """
    parts = {path[:2] if path[0] in _MANY else path[:1] for path in faulty if path}
    if any(part[0] == "ablations" and len(part) > 1 and not _name(data, part) for part in parts):
        # One of the ablations that claims name is perhaps the one without a name.
        claims = data.get("claims", ())
        named = [_name(data, ("ablations", i)) for i in range(len(data["ablations"]))]
        parts |= {
            ("claims", i)
            for i, claim in enumerate(claims if isinstance(claims, tuple) else ())
            if isinstance(claim, dict)
            and any(claim[kind] not in named for kind in _OF_EDITS if kind in claim)
        }
    made = dict(data)
    for key in ("name", "question", "prompts"):
        if (key,) in parts or key not in made:
            made[key] = "x"
    items: dict[str, dict[Any, Any]] = {
        key: dict(data[key] if key == "targets" else enumerate(data[key]))
        for key in {str(part[0]) for part in parts if len(part) > 1}
    }
    for part in parts:
        key = str(part[0])
        if len(part) > 1:
            items[key][part[1]] = _harmless(key, part[1], items[key][part[1]])
        elif key in _MANY:
            return None, parts
        elif key not in ("name", "question", "prompts"):
            made.pop(key, None)
    for key, sound in items.items():
        made[key] = sound if key == "targets" else tuple(sound.values())
    try:
        return Spec.model_validate(made), parts
    except ValidationError:
        return None, parts


_MANY = ("targets", "ablations", "claims")
_OF_EDITS = [kind for kind, model in CLAIM_KINDS.items() if issubclass(model, EditClaim)]
_READABLE: dict[str, TypeAdapter[Any]] = {
    "name": TypeAdapter(Name),
    "only": TypeAdapter(tuple[str, ...]),
}
_ANY: dict[str, dict[str, Any]] = {
    "ablations": {"select": {"by": "attribution"}},
    "claims": {"behaviour": "logit_difference", "direction": "greater"},
}


def _name(data: dict[str, Any], part: KeyPath) -> str:
    """What an ablation is called; empty where that cannot be read."""
    item = data["ablations"][int(part[1])]
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else ""


def _harmless(part: str, number: str | int, item: Any) -> dict[str, Any]:
    """An ablation or claim of the same name and targets, as far as these can be read; any target."""
    if part == "targets":
        return {}
    made: dict[str, Any] = {"name": f"{part}.{number}.", **_ANY[part]}
    for key, kind in _READABLE.items():
        try:
            made[key] = kind.validate_python(item[key], strict=True)
        except (ValidationError, KeyError, TypeError):
            continue
    return made


def _twins(names: Sequence[tuple[KeyPath, str]]) -> Iterator[Contradiction]:
    """Names that are the same, or that `pytest -k` and people take for the same."""
    seen: dict[str, str] = {}
    for path, name in names:
        if other := seen.get(name.casefold()):
            alike = f"differs from '{other}' only in case" if other != name else "is used twice"
            yield path, f"'{name}' {alike}", "rename one"
        seen.setdefault(name.casefold(), name)


def _below(place: KeyPath, problems: list[Contradiction]) -> list[Contradiction]:
    return [((*place, *path), what, remedy) for path, what, remedy in problems]


def _misfit(spec: Spec, ablation: Ablation) -> list[Contradiction]:
    """Parts of an ablation that do not belong together, or to the spec."""
    problems: list[Contradiction] = []
    kind = ablation.kind
    if (ablation.value is None) == (kind in VALUED):
        remedy = "give `value`" if kind in VALUED else f"drop it, or use {', '.join(VALUED)}"
        what = f"{kind} needs a value" if kind in VALUED else f"{kind} takes no value"
        problems.append((("value" if ablation.value is not None else "kind",), what, remedy))
    if (kind, ablation.value) in (("scale", 1.0), ("steer", 0.0)):
        what = f"the impact is zero by construction: {kind} {ablation.value:g} changes nothing"
        problems.append((("value",), what, "give another value"))
    if (ablation.source is None) == (kind == "resample"):
        what = "resample needs a source" if kind == "resample" else f"{kind} takes no source"
        remedy = "give `source: pair` or `source: random`" if kind == "resample" else "drop it"
        problems.append((("source" if ablation.source else "kind",), what, remedy))
    if ablation.directions and kind == "direction":
        what = "what it takes away depends on the direction, so that no other is as large an edit"
        problems.append((("directions",), what, "drop it, or edit features"))
    if ablation.shuffled and ablation.source != "pair":
        what = "only values that a prompt takes from its own pair can be those of other families' pairs"
        problems.append((("shuffled",), what, "drop it, or use `kind: resample`, `source: pair`"))
    if ablation.tokens and len({*ablation.tokens.at}) < len(ablation.tokens.at):
        problems.append((("tokens", "at"), "a place is named twice", "name each once"))
    if not isinstance(ablation.positions, str) and 0 in ablation.positions:
        problems.append(
            (("positions",), "position 0 is BOS, which is never edited", "count from 1, or from -1")
        )
    problems += wrong_baselines(ablation)
    problems += [*wrong_sets(ablation), *wrong_splits(spec, ablation)]
    return problems + wrong_selection(spec, ablation) + _elsewhere(spec, ablation.only)


def _elsewhere(spec: Spec, only: Sequence[str]) -> list[Contradiction]:
    """Targets of an ablation or a claim that the spec does not have."""
    problems: list[Contradiction] = []
    for target in only:
        if target not in spec.targets:
            advice = nearest(target, spec.targets)
            remedy = advice if advice.endswith("?") else "list it under targets"
            problems.append((("only",), f"'{target}' is not among the targets", remedy))
    return problems


def _powerless(spec: Spec, ablation: Ablation) -> list[Contradiction]:
    """Edits that cannot change the metric whatever the model does."""
    problems: list[Contradiction] = []
    instead = (
        "select `by: attribution`, or ask a second question in the prompt and read at its "
        "last_prompt_token"
    )
    if 1 in ablation.doses and set(ablation.doses) == {1.0}:
        problems.append((("doses",), "a factor of 1 changes nothing", "add 0, 0.5, 2 or 4"))
    if ablation.select.by == "contrast" and spec.readout.at == "answer":
        problems.append(
            (
                ("select", "by"),
                "features read at the answer fire after its first token is decided, so removing "
                "them there is zero by construction",
                instead,
            )
        )
    return problems


def _unclear(spec: Spec, claim: Claim) -> list[Contradiction]:
    problems: list[Contradiction] = []
    if isinstance(claim, FeatureClaim):
        if claim.among:
            problems += _not_made(spec, claim, claim.among, ("among",))
        if (claim.at_least is None) == (claim.at_most is None):
            problems.append(
                (("features",), "the count has no bound, or two", "give at_least or at_most")
            )
        if claim.at_most is not None and not claim.guard and claim.margin is None:
            problems.append(
                (
                    ("at_most",),
                    "that no more were called does not show that no more differ: with few families "
                    "hardly any are called",
                    "write `guard: true`, and it is held or broken, or claim a `margin` in d_z",
                )
            )
        if claim.at_least is not None and claim.guard:
            problems.append(
                (("guard",), "a guard keeps watch over `at_most`", "drop it, or give at_most")
            )
        if claim.margin is not None and (claim.at_least is not None or claim.guard):
            what = "a margin is that of a claim of `at_most`, and a guard makes none"
            problems.append((("margin",), what, "drop it"))
    elif isinstance(claim, BehaviourClaim | AblationClaim) and (claim.direction is None) == (
        claim.within is None
    ):
        problems.append(
            ((), "the claim has no direction, or one and a margin", "give direction or within")
        )
    if isinstance(claim, BehaviourClaim) and claim.contrast and claim.beyond == "baseline":
        what = "what a scene adds is asked of both variants of a pair, not of their difference"
        problems.append((("contrast",), what, "drop it, or `beyond`"))
    if isinstance(claim, EditClaim):
        problems += _unedited(spec, claim)
    return problems + _elsewhere(spec, claim.only)


def _not_made(spec: Spec, claim: ClaimPart, name: str, at: KeyPath) -> list[Contradiction]:
    """That there is no ablation of this name, or none on a target where the claim is made."""
    named = {one.name: one for one in spec.ablations}
    if name not in named:
        remedy = nearest(name, named) if named else "write it under `ablations`"
        return [(at, f"there is no ablation '{name}'", remedy)]
    return [
        (at, f"'{name}' is not made on {target}", "give the claim the ablation's `only`")
        for target in claim.only or spec.targets
        if named[name] not in spec.ablations_on(target)
    ]


def _unedited(spec: Spec, claim: EditClaim) -> list[Contradiction]:
    """What keeps a claim from being about an ablation of this spec."""
    at: KeyPath = (claim.kind,)
    problems = _not_made(spec, claim, claim.edit, at)
    ablation = next((one for one in spec.ablations if one.name == claim.edit), None)
    if ablation is None:
        return problems
    if (
        isinstance(claim, AblationClaim)
        and claim.beyond == "directions"
        and not ablation.directions
    ):
        what = f"'{claim.edit}' is held against no random directions"
        problems.append((("beyond",), what, "give the ablation `directions: 99`"))
    if isinstance(claim, AblationClaim) and claim.beyond == "shuffled" and not ablation.shuffled:
        what = f"'{claim.edit}' is held against no sources of other families"
        problems.append((("beyond",), what, "give the ablation `shuffled: 99`"))
    if isinstance(claim, AblationClaim):
        problems += wrong_rivals(ablation, claim)
    if isinstance(claim, StableClaim) and not ablation.select.uses_families:
        what = f"no families select the features of '{claim.edit}'"
        problems.append((at, what, "select them `by: contrast` or `by: attribution`, or drop it"))
    if isinstance(claim, TokensClaim) and not ablation.tokens:
        what = f"no tokens of '{claim.edit}' are put into neutral texts"
        problems.append((at, what, "give the ablation `tokens: {}`"))
    if isinstance(claim, MonotoneClaim) and len({*ablation.doses} - {1.0}) < 2:
        what = f"'{claim.edit}' has too few doses to have an order"
        problems.append((at, what, "give it two or more `doses` beside 1: [0, 0.5, 2]"))
    if isinstance(claim, SpecificClaim | CollateralClaim) and ablation.kind == "resample":
        what = f"'{claim.edit}' takes values from other prompts, and which is not said of these"
        problems.append((at, what, "claim it of an ablation of another kind"))
    return [*problems, *wrong_set_claim(claim, ablation), *wrong_crossfit(claim, ablation)]
