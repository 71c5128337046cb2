"""Which families discover and which confirm."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from harness.specs.spec import Spec

Side = Literal["discovery", "confirmation"]


def split(families: Sequence[str], spec: Spec) -> Mapping[str, Side]:
    """Each family's side, by a seeded hash of its name: the order of the file changes nothing."""
    order = sorted(
        families, key=lambda family: hashlib.sha256(f"{spec.split.seed}/{family}".encode()).digest()
    )
    share = spec.split.discovery
    discovery = set(order[: math.ceil(share * len(order))] if share else ())
    return {family: "discovery" if family in discovery else "confirmation" for family in families}
