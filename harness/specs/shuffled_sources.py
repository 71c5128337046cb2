"""Which other family's pairs lend their values to which family, in each shuffled edit of an ablation.

The families stand in a circle, in an order drawn by the spec's seed, and each edit is one step around it: a
family takes the values of the one so many places on. So none has its own, and no family has another one
twice. Edits that shared such a loan would be more like each other than the ablation itself is like any of
them, and its rank among them would come out too extreme. There are one fewer than there are families; once
all are made, what each family does with every other one's values is known.
"""

import hashlib
import math
from collections.abc import Mapping

from harness.specs.ablations import ARRANGEMENTS, Ablation
from harness.specs.plan import Plan


def shuffles_of(plan: Plan, ablation: Ablation) -> int:
    """How many shuffled edits an ablation has: what it asks for, as far as there are confirming families."""
    return min(ablation.shuffled, max(0, len(plan.families("confirmation")) - 1))


def lenders(plan: Plan, ablation: Ablation, number: int) -> Mapping[str, str]:
    """By confirming family the one whose pairs lend their values in the ablation's shuffled edit `number`."""

    def drawn(name: object) -> bytes:
        said = f"{plan.spec.split.seed}/shuffled/{ablation.name}/{name}"
        return hashlib.sha256(said.encode()).digest()

    circle = sorted(plan.families("confirmation"), key=drawn)
    steps = sorted(range(1, len(circle)), key=drawn)
    step = steps[number]
    return dict(zip(circle, circle[step:] + circle[:step], strict=True))


def arrangements(shuffled: int, families: int, asked: int) -> int:
    """Among how many others the true sources rank, of a claim about `asked` of the confirming `families`.

    All other arrangements of the sources, at most `ARRANGEMENTS`, once every family has had every other
    one's; before, the shuffled edits themselves.
    """
    if shuffled < families - 1:
        return shuffled
    return min(math.perm(families, asked) - 1, ARRANGEMENTS)
