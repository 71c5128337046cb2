"""The claim that features matter whichever families select them."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from harness.specs.claim_part import PartClaim
from harness.specs.edit_claims import Direction, Keeps, MeasuredClaim, measured, toward
from harness.specs.variants import Variants


class CrossfitClaim(MeasuredClaim, PartClaim):
    """About what an ablation does on several splits, on each with the features that are selected there."""

    kind: ClassVar[str] = "crossfit"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    crossfit: str = Field(
        description="The name of an ablation of this file that has `splits` of two or more."
    )
    direction: Direction = Field(
        description="Claim that on most splits the edit of the features that are selected there moves the "
        "answers `toward-correct` or `toward-misconception`, or toward the variant of another name."
    )
    beyond: Literal["zero", "controls"] = Field(
        default="controls",
        description="What the impact must exceed on a split. `zero`: no impact. `controls`: besides, the "
        "impact of the matched random features.",
    )
    keeps: Keeps = Field(
        default=1.0,
        description="By how many nats the probability of both answers together may fall on a split, beyond "
        "what the controls do to it, before it is that they were destroyed.",
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        beyond = " beyond its matched controls" if self.beyond == "controls" else ""
        return (
            f"on half of its splits or more, ablation {self.crossfit} moves the answers "
            f"{toward(self.direction, variants)}{beyond}{measured(metric, variants)}"
        )
