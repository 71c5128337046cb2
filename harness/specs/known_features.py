"""The features of a target that are known to carry the contrast, where somebody measured it."""

import json
from dataclasses import dataclass, fields

from harness.paths import bundled
from harness.specs.targets import Target


@dataclass(frozen=True)
class KnownFeature:
    """A feature that is known to tell the voices apart, and by how much (`auroc`, .5 to 1).

    `sign` is 1 where it is stronger for the confused voice, and -1 where it is weaker.
    """

    layer: int
    feature: int
    sign: int
    auroc: float


def load_truth(target: Target) -> tuple[KnownFeature, ...] | None:
    """The features that are known to carry the contrast; None where nothing is known."""
    if target.truth is None:
        return None
    known = json.loads(bundled(target.truth).read_text(encoding="utf-8"))["known"]
    names = tuple(field.name for field in fields(KnownFeature))
    return tuple(KnownFeature(**{name: entry[name] for name in names}) for entry in known)
