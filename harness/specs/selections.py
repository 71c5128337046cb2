"""How an ablation's features are selected: what contradicts itself there, and what it takes."""

from harness.specs.ablations import Ablation
from harness.specs.edit_claims import DecoyClaim
from harness.specs.fields import Contradiction
from harness.specs.spec import Spec

_OF_SOURCE = ("match", "least", "layers", "target")  # how a set that another eval froze is taken


def needs_discovery(spec: Spec) -> str:
    """What families that confirm nothing are needed for, in words; nothing where they are not."""
    if any(ablation.select.uses_families for ablation in spec.ablations):
        return "no family is left to select the ablation's features on"
    if any(one.kind == "mean" or one.source == "random" for one in spec.ablations):
        return "no family is left to take the values of the edit from"
    if any(ablation.baselines for ablation in spec.ablations):
        return "no family is left to take the baselines' directions from"
    if any(ablation.tokens for ablation in spec.ablations):
        return "no family is left to find the features' strongest tokens in"
    if any(isinstance(claim, DecoyClaim) for claim in spec.claims):
        return "no family is left to tell which way each feature answers the trait"
    return ""


def wrong_selection(spec: Spec, ablation: Ablation) -> list[Contradiction]:
    """Parts of a selection that do not belong together, or to the spec, as paths from the ablation."""
    problems: list[Contradiction] = []
    select = ablation.select
    if not (select.by or select.source):
        remedy = "add `by`, or `from: SPEC_NAME/ABLATION`"
        problems.append((("select",), "it does not say by what features are selected", remedy))
    if select.source and select.source[0] == spec.name:
        what = "an eval cannot take the features that it freezes itself"
        problems.append((("select", "from"), what, "name another eval, or select them with `by`"))
    if select.by and (select.by == "list") != bool(select.features):
        what = "no feature is listed" if select.by == "list" else "features are listed but not used"
        problems.append((("select", "by"), what, "give `by: list` and `features: {layer: [...]}`"))
    if select.by == "list" and len(ablation.only or spec.targets) > 1:
        problems.append(
            (
                ("select", "features"),
                "the same numbers name other features on another target",
                "name the one target they belong to: `only: [...]`",
            )
        )
    if not select.source:
        problems += [
            (
                ("select", name),
                f"{name} is of a set that another eval froze",
                "drop it, or give `from`",
            )
            for name in _OF_SOURCE
            if name in select.model_fields_set
        ]
    unused, beside = _unused(ablation)
    problems += [
        (("select", name), f"{name} is not used with `{beside}`", "drop it")
        for name in unused
        if name in select.model_fields_set
    ]
    if any(feature < 0 for some in select.features.values() for feature in some):
        problems.append((("select", "features"), "a feature is below 0", "count features from 0"))
    return problems


def _unused(ablation: Ablation) -> tuple[tuple[str, ...], str]:
    """The parts of a selection that its way of selecting does not look at, and which way that is."""
    select = ablation.select
    if select.by == "attribution":
        return ("steps",) if select.method == "gradient" else (), f"method: {select.method}"
    if select.source:
        unmatched = () if select.match else ("least", "target")
        return ("by", "top", "rank", "method", "steps", "features", *unmatched), "from"
    chosen = ("top", "toward") if select.by == "list" else ()
    return (*chosen, "method", "steps"), f"by: {select.by}"
