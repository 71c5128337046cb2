"""Claims about a selected set as a whole: that the rest does nothing, and that each member is needed."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from harness.specs.claim_part import PartClaim
from harness.specs.edit_claims import Direction, MeasuredClaim, measured, much, toward
from harness.specs.variants import Variants


class ComplementClaim(MeasuredClaim, PartClaim):
    """About what every other feature does while the selected ones stay as they are."""

    kind: ClassVar[str] = "complement"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    complement: str = Field(
        description="The name of an ablation of this file that has `complement: true`."
    )
    within: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Claim that the values of the pair's other variant in all other features of these layers "
        "move the answers by no more than this, in the metric's unit. Either this or `within_share`.",
    )
    within_share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="The same margin as a share of the difference between the variants. Either this or "
        "`within`.",
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        moves = f"what ablation {self.complement} leaves out moves the answers"
        if self.within is not None:
            return f"{moves} by at most {much(self.within, metric, variants)}"
        return (
            f"{moves} by at most {self.within_share:.0%} of what the variants differ by"
            f"{measured(metric, variants)}"
        )


class NeededClaim(MeasuredClaim, PartClaim):
    """About whether a set does less without any one of its members."""

    kind: ClassVar[str] = "needed"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    needed: str = Field(
        description="The name of an ablation of this file that has `leave_one_out: true`."
    )
    direction: Direction = Field(
        description="Claim that the set moves the answers `toward-correct` or `toward-misconception`, or "
        "toward the variant of another name, and further than it does without any one of its features."
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"ablation {self.needed} moves the answers {toward(self.direction, variants)}, and further than "
            f"it does without any one of its features{measured(metric, variants)}"
        )
