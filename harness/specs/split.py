"""Which families discover and which confirm."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from harness.specs.clusters import clusters_of
from harness.specs.prompt import Prompt
from harness.specs.spec import Spec

Side = Literal["discovery", "confirmation"]


def sides_of(prompts: Sequence[Prompt], spec: Spec) -> Mapping[str, Side]:
    """The side of each family, as the spec splits them: one by one, within strata, or whole clusters of them.

    Raises `InputError` where what it goes by is no tag of every family.
    """

    def tagged(tag: str, asked: str) -> Mapping[str, str]:
        return clusters_of(prompts, tag, file=spec.prompts, asked=f"`split: {{{asked}: ...}}`")

    strata = tagged(spec.split.strata, "strata") if spec.split.strata else None
    whole = tagged(spec.split.by, "by")
    sides = split(sorted(set(whole.values())), spec, strata)
    return {family: sides[whole[family]] for family in sorted(whole)}


def split(
    families: Sequence[str], spec: Spec, strata: Mapping[str, str] | None = None
) -> Mapping[str, Side]:
    """Each family's side, by a seeded hash of its name: the order of the file changes nothing.

    Of each of the `strata`, given by family, as near to the share discovers as whole families allow. Strata
    come in the order of a seeded hash, too, and each takes what the share of all families so far leaves: so
    a half of a family is rounded up in one stratum and down in the next, and the share of all is that of a
    split without strata.
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
        discovery |= {*members[stratum][:wanted]}
    return {family: "discovery" if family in discovery else "confirmation" for family in families}
