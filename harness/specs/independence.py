"""How many independent families the confirming ones are worth, where some of them hang together."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import first_few
from harness.specs.clusters import (
    FAMILY,
    counted,
    effective_number,
    grouping_tag,
    plural,
    sizes_of,
)
from harness.specs.edit_claims import CollateralClaim
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt


@dataclass(frozen=True)
class Clustering:
    """So many confirming `families` lie in so many `clusters` by a tag, and are worth `effective` alone.

    Two families of a cluster have the `correlation`, as the split says or by default.
    """

    tag: str
    families: int
    clusters: int
    correlation: float
    effective: float

    def __str__(self) -> str:
        return (
            f"{self.tag}: {counted(self.families, FAMILY)} of {counted(self.clusters, self.tag)} confirm, "
            f"worth {self.effective:.3g} independent ones at a correlation of {self.correlation:g}"
        )


def clusterings(plan: Plan) -> list[Clustering]:
    """Those of every tag that a claim on the target clusters its test by, on the spec's own prompts."""
    tags = {plan.spec.cluster: None}
    for claim in plan.spec.claims_on(plan.target.name):
        if not isinstance(claim, CollateralClaim):
            tags[plan.spec.cluster_of(claim)] = None
    return [_clustering(plan, tag) for tag in tags if tag != FAMILY]


def undeclared(plan: Plan) -> list[str]:
    """A note where the prompts tell which families hang together, and the spec's tests ask for no cluster."""
    tag = grouping_tag(plan.prompts)
    if not tag or clusterings(plan):
        return []
    found = _clustering(plan, tag)
    if found.clusters == found.families:
        return []
    return [
        f"{plan.spec.name}: {counted(found.families, FAMILY)} of {counted(found.clusters, tag)} confirm and "
        f"count as independent; if two of a {tag} correlate by {found.correlation:g} they are worth "
        f"{found.effective:.3g}; `cluster: {tag}` makes {plural(tag)} the units of every test"
    ]


def left_out(plan: Plan, prompts: Sequence[Prompt]) -> list[str]:
    """A note where families of the file are on neither side: what they have is held out of their cluster."""
    n = len({prompt.family for prompt in prompts}) - len(plan.sides)
    if not n:
        return []
    tag, by = plan.spec.split.holdout, plan.spec.split.by
    return [
        f"{plan.spec.name}: {counted(n, FAMILY)} of discovering {plural(by)} {'has' if n == 1 else 'have'} a "
        f"{tag} that is held out, and {'is' if n == 1 else 'are'} left out"
    ]


def shared(plan: Plan) -> list[str]:
    """A note where features are selected on families of the clusters that confirm a claim by clusters."""
    selecting = [one.name for one in plan.ablations if one.select.uses_families]
    notes = []
    for found in clusterings(plan) if selecting else []:
        of = plan.clusters(found.tag)
        both = {of[one] for one in plan.families("discovery")} & {
            of[one] for one in plan.families("confirmation")
        }
        if both:
            several = plural(found.tag)
            notes.append(
                f"{plan.spec.name}: {first_few(selecting, 3)} selects features on families of {len(both)} "
                f"of the {found.clusters} {several} that confirm, so what is shown of them holds for these "
                f"{several}; `split: {{by: {found.tag}}}` selects on others"
            )
    return notes


def _clustering(plan: Plan, tag: str) -> Clustering:
    clusters = plan.clusters(tag)
    sizes = sizes_of(clusters, plan.families("confirmation"))
    rho = plan.spec.split.correlation
    return Clustering(tag, sum(sizes), len(sizes), rho, effective_number(sizes, rho))
