"""The paired contrast of a spec: which two variants are compared, and how each feature is tested."""

from typing import Literal

from pydantic import Field

from harness.specs.fields import Alpha, Name, SpecPart
from harness.specs.prompt import Label
from harness.specs.variants import Variants


class Contrast(SpecPart):
    """The paired test of every feature between the two variants."""

    of: Name = Field(
        default="correct",
        description="The variant that counts as positive, by its label in the prompt file: `correct`, or "
        "any other. The spec then calls it so: `toward-NAME`, `log_p_NAME`, `variant: NAME`.",
    )
    against: Name = Field(
        default="misconception",
        description="The variant it is compared with, by its label: `misconception`, or any other. Lines "
        "of further labels are left aside.",
    )
    statistic: Literal["pratt+mcnemar", "signed-rank", "mcnemar", "mean"] = Field(
        default="pratt+mcnemar",
        description="What is summed within a family and flipped. `signed-rank`: ranks of the "
        "differences, by Pratt. `mcnemar`: in which variant the feature fires. `pratt+mcnemar`: the "
        "larger of the two, corrected. `mean`: the differences themselves.",
    )
    correction: Literal["max-t"] = Field(
        default="max-t",
        description="`max-t`: family-wise over every feature of every layer, step-down.",
    )
    alpha: Alpha = Field(default=0.05, description="The error rate of every claim in the file.")

    @property
    def variants(self) -> Variants:
        """What the two variants are called, by role."""
        return Variants.compared(self.of, self.against)

    @property
    def positive(self) -> Label:
        """The role of the variant from whose values the other's are taken."""
        return self.variants.role(self.of) or "correct"

    @property
    def negative(self) -> Label:
        """The role of the other one."""
        return "misconception" if self.positive == "correct" else "correct"
