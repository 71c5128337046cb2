"""Which families discover and which confirm."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from harness.specs.clusters import FAMILY, clusters_of
from harness.specs.prompt import Prompt
from harness.specs.spec import Spec

Side = Literal["discovery", "confirmation"]
HELD_OUT = 3  # one value in so many is held out


def sides_of(prompts: Sequence[Prompt], spec: Spec) -> Mapping[str, Side]:
    """The side of each family, as the spec splits them: one by one, within strata, or whole clusters of them.

    A family that has something held out never discovers: it confirms, or is left out where its cluster as a
    whole discovers. Raises `InputError` where what it goes by is no tag of every family.
    """

    def tagged(tag: str, asked: str) -> Mapping[str, str]:
        return clusters_of(prompts, tag, file=spec.prompts, asked=f"`split: {{{asked}: ...}}`")

    strata = tagged(spec.split.strata, "strata") if spec.split.strata else None
    whole = tagged(spec.split.by, "by")
    kept = (
        _held_out(tagged(spec.split.holdout, "holdout"), spec)
        if spec.split.holdout
        else frozenset()
    )
    if spec.split.by == FAMILY:
        return split(sorted(whole), spec, strata, kept)
    sides = split(sorted(set(whole.values())), spec, strata)
    return {
        family: sides[whole[family]]
        for family in sorted(whole)
        if sides[whole[family]] == "confirmation" or family not in kept
    }


def _held_out(values: Mapping[str, str], spec: Spec) -> frozenset[str]:
    """The families of the third of a tag's values that occur only where things are confirmed.

    Which they are is decided by the seed.
    """

    def order(value: str) -> bytes:
        return hashlib.sha256(f"{spec.split.seed}/holdout/{value}".encode()).digest()

    distinct = sorted(set(values.values()), key=order)
    chosen = {*distinct[: math.ceil(len(distinct) / HELD_OUT)]}
    return frozenset(family for family, value in values.items() if value in chosen)


def split(
    families: Sequence[str],
    spec: Spec,
    strata: Mapping[str, str] | None = None,
    kept: Collection[str] = (),
) -> Mapping[str, Side]:
    """Each family's side, by a seeded hash of its name: the order of the file changes nothing.

    Of each of the `strata`, given by family, as near to the share discovers as whole families allow. Strata
    come in the order of a seeded hash, too, and each takes what the share of all families so far leaves: so
    a half of a family is rounded up in one stratum and down in the next, and the share of all is that of a
    split without strata. Families that are `kept` confirm; others of their stratum discover in their
    place, as far as there are any.
    """

    def order(name: str) -> bytes:
        return hashlib.sha256(f"{spec.split.seed}/{name}".encode()).digest()

    members: dict[str, list[str]] = defaultdict(list)
    for family in sorted(families, key=order):
        members[strata[family] if strata else ""].append(family)
    discovery: set[str] = set()
    seen = 0
    for stratum in sorted(members, key=lambda name: order(f"stratum/{name}")):
        seen += len(members[stratum])
        wanted = math.ceil(spec.split.discovery * seen) - len(discovery)
        # What is held out of one stratum is not made up for by the whole of another.
        wanted = min(wanted, math.ceil(spec.split.discovery * len(members[stratum])))
        free = [family for family in members[stratum] if family not in kept]
        discovery |= {*free[:wanted]}
    return {family: "discovery" if family in discovery else "confirmation" for family in families}
