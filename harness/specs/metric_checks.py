"""Metrics that a spec names: whether there is such a one, and whether it makes sense where it is named."""

from collections.abc import Iterator

from harness.errors import nearest
from harness.specs.claims import BehaviourClaim, Claim
from harness.specs.edit_claims import (
    CollateralClaim,
    MeasuredClaim,
    MonotoneClaim,
    ShareClaim,
)
from harness.specs.fields import Contradiction, KeyPath
from harness.specs.metrics import KINDS, KL, attributed, kind_of, valid_metrics
from harness.specs.set_claims import ComplementClaim
from harness.specs.spec import Spec
from harness.specs.variants import MISNAMED

# Who moves where: `kl` is of an edit and says how far, `log_mass` of both answers and not which.
_OF_EDITS = "kl is how far an edit moves a distribution, and nothing of a prompt without one"
_ONLY_GROWS = "kl only grows: it has no direction, no share and no difference from controls"


def wrong_metrics(spec: Spec) -> list[Contradiction]:
    """What is wrong with every metric that a spec names: (path, what, what to do)."""
    problems = [*_unknown(spec, ("metric",), spec.metric, edits=False)]
    for i, claim in enumerate(spec.claims):
        key = "behaviour" if isinstance(claim, BehaviourClaim) else "metric"
        said = getattr(claim, key, None)
        wrong = said and [*_unknown(spec, ("claims", i, key), said, edits=key == "metric")]
        problems += wrong or _misplaced(spec, i, claim)
    return problems


def metric_notes(spec: Spec) -> list[str]:
    """What attribution predicts where it cannot predict the metric that impacts are measured in."""
    told = attributed(spec.metric)
    names = [one.name for one in spec.ablations if one.select.by == "attribution"]
    if told == spec.metric or not names:
        return []
    what = f"attribution of {', '.join(names)} predicts {told}: it needs a gradient toward an answer, and"
    return [f"{spec.name}: {what} {spec.metric} has none"]


def place_of_metric(spec: Spec, metric: str) -> KeyPath:
    """Where a spec first names a metric, by its role."""
    for i, claim in enumerate(spec.claims):
        for key in ("behaviour", "metric"):
            if getattr(claim, key, None) == metric:
                return ("claims", i, key)
    return ("metric",)


def _unknown(spec: Spec, path: KeyPath, metric: str, *, edits: bool) -> Iterator[Contradiction]:
    names = valid_metrics(spec.variants, edits=edits)
    said = spec.variants.named(metric)
    if metric == KL and not edits:
        yield path, _OF_EDITS, f"use one of {', '.join(names)}"
    elif metric.endswith(MISNAMED):
        yield path, f"{path[-1]} is '{said}'", f"use one of {', '.join(names)}"
    elif metric not in KINDS and metric not in names:
        yield path, f"{path[-1]} is '{said}'", nearest(said, names)


def _misplaced(spec: Spec, number: int, claim: Claim) -> Iterator[Contradiction]:
    """A metric that tells neither answer from the other where a claim says toward which they move."""
    if isinstance(claim, BehaviourClaim):
        bounds = kind_of(claim.behaviour).bounds
        if bounds and claim.is_level and not bounds[0] <= claim.than <= bounds[1]:
            what = (
                f"{claim.behaviour} lies between {bounds[0]:g} and {bounds[1]:g} whatever is seen"
            )
            yield ("claims", number, "than"), what, "hold it against a value between them"
        return
    if not isinstance(claim, MeasuredClaim | CollateralClaim):
        return
    metric = spec.metric_of(claim)
    at: KeyPath = ("claims", number, *(("metric",) if claim.metric else ()))
    of_share = isinstance(claim, ComplementClaim) and claim.within_share is not None
    toward = (
        of_share
        or isinstance(claim, ShareClaim | MonotoneClaim)
        or getattr(claim, "direction", None)
    )
    if metric == KL and (toward or getattr(claim, "beyond", "zero") != "zero"):
        yield at, _ONLY_GROWS, "claim `within` and `beyond: zero`, or name another metric"
    elif toward and not kind_of(metric).toward:
        what = f"{metric} is of both answers together, and moves toward neither of them"
        yield at, what, "claim `within`, or name a metric that tells them apart"
