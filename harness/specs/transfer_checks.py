"""Claims that a set does here what it did in another eval: whether both edit alike, and what can be shown."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import Fault
from harness.specs.ablations import Ablation
from harness.specs.clusters import counted
from harness.specs.design import smallest_effect, smallest_p
from harness.specs.edit_claims import TransfersClaim
from harness.specs.plan import Plan
from harness.specs.spec_file import SpecFile

# An edit by so much is in the unit of a feature, which is another one in another dictionary.
_IN_UNITS = ("clamp", "steer")


def other_edit(here: Ablation, there: Ablation, *, matched: bool) -> str:
    """How the edit there is another one, in words; nothing where it is the same.

    `matched` says that other features stand for those that were frozen.
    """
    for name in ("kind", "value", "source", "positions", "variant"):
        own, other = getattr(here, name), getattr(there, name)
        if own != other:
            return f"the edit that froze it is another one: `{name}` is {_said(other)}, and here {_said(own)}"
    if matched and here.kind in _IN_UNITS:
        return (
            f"{here.kind} is in the unit of a feature, and that of another dictionary's is another"
        )
    return ""


def _said(value: object) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Reach:
    """How many independent units confirm `here` and `there`, what they are (`tag`), and what they show."""

    claim: TransfersClaim
    here: int
    there: int
    tag: str
    alpha: float

    @property
    def floor(self) -> float:
        """The smallest p of the claim."""
        return smallest_p(min(self.here, self.there))

    @property
    def words(self) -> str:
        """On how much it rests, and what it detects."""
        of = f"{counted(self.here, self.tag)} here and {counted(self.there, self.tag)} there"
        if self.floor > self.alpha:
            return f"{of}, which can give no p below {self.floor:.3g}"
        fewest = min(self.here, self.there)
        spread = math.sqrt(fewest * (1 / self.here + self.claim.than**2 / self.there))
        detected = smallest_effect(fewest, self.alpha) * spread
        return (
            f"{of}; four times in five it finds at best an impact that is {detected:.2g} of their standard "
            f"deviations above {self.claim.than:.0%} of that there"
        )


def reaches(file: SpecFile, other: SpecFile, ablation: Ablation, target: str) -> Iterator[Reach]:
    """What the claims of a spec that a set transfers can show on a target, by both evals' prompts.

    Families that confirm in both are left out. Raises as `SpecFile.plan`.
    """
    for claim in file.spec.claims_on(target):
        if isinstance(claim, TransfersClaim) and claim.edit == ablation.name:
            here, there = file.plan(target), other.plan(ablation.select.target or target)
            tag = file.spec.cluster_of(claim)
            units = _units(here, there, tag), _units(there, here, tag)
            yield Reach(claim, *units, tag, file.spec.contrast.alpha)


def transfer_faults(
    file: SpecFile, other: SpecFile, ablation: Ablation, target: str
) -> Iterator[Fault]:
    """Claims that nothing can support, by the other eval's file: of another edit, or of too few families."""
    source = ablation.select.source
    there = next(one for one in other.spec.ablations if source == (other.spec.name, one.name))
    unlike = other_edit(ablation, there, matched=ablation.select.match is not None)
    for reach in reaches(file, other, ablation, target):
        at = file.where("claims", file.spec.claims.index(reach.claim))
        if unlike:
            what = f"claim '{reach.claim.name}' needs the same edit in both evals: {unlike}"
            yield Fault(at, what, "edit alike, or drop the claim")
        elif reach.floor > reach.alpha:
            what = f"claim '{reach.claim.name}' cannot reach alpha {reach.alpha:g}: {reach.words}"
            yield Fault(at, what, "take more families, of which none confirms in both evals")


def _units(plan: Plan, other: Plan, tag: str) -> int:
    """How many units confirm in a plan, without families that confirm in another one, too."""
    names = {*other.families("confirmation")}
    texts = {prompt.text for prompt in other.of("confirmation")}
    names |= {prompt.family for prompt in plan.of("confirmation") if prompt.text in texts}
    clusters = plan.clusters(tag)
    return len({clusters[one] for one in plan.families("confirmation") if one not in names})
