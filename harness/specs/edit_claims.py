"""Claims about what an ablation's edit does to the answers, and to what it should leave alone."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from harness.specs.claim_part import ClaimPart, PartClaim
from harness.specs.fields import BASELINES, VARIANT_NAMED, Baseline, as_large
from harness.specs.metrics import Metric, metric_words, said_unit
from harness.specs.prompt import Label
from harness.specs.variants import Variants

Direction = Annotated[
    Literal["toward-correct", "toward-misconception"], WithJsonSchema(VARIANT_NAMED["toward-"])
]
Beyond = Literal["zero", "controls", "directions", "shuffled", Baseline]
Keeps = Annotated[float, Field(gt=0)]
_KEEPS = (
    "Of `direction`: by how many nats the probability of both answers together may fall, "
    "beyond what the controls do to it, before the claim is that they were destroyed."
)


class EditClaim(ClaimPart):
    """A claim about one of the file's ablations."""

    @property
    def edit(self) -> str:
        """The name of the ablation that it is about."""
        return str(getattr(self, self.kind))

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported, in this metric."""
        raise NotImplementedError


class MeasuredClaim(EditClaim):
    """A claim about an impact, in a metric that may be another one than the spec's."""

    metric: Metric | None = Field(
        default=None,
        description="What the impact is measured in, in place of the spec's `metric`. `kl` too, of a claim "
        "`within` that is not beside controls: how far the distribution moves that predicts the answers.",
    )


class AblationClaim(MeasuredClaim, PartClaim):
    """About what happens to the answers when features are removed."""

    kind: ClassVar[str] = "ablation"
    later: ClassVar[Mapping[str, object]] = {"keeps": 1.0, "metric": None}
    ablation: str = Field(description="The name of an ablation of this file.")
    direction: Direction | None = Field(
        default=None,
        description="Claim that the edit moves the answers `toward-correct` or "
        "`toward-misconception`, or toward the variant of another name. Either this or `within`.",
    )
    beyond: Beyond = Field(
        default="controls",
        description="What the impact must exceed. `zero`: no impact. `controls`: besides, the impact "
        "of the matched random features. `directions`: instead of these, that of edits as large in random "
        "directions. `shuffled`: that of the same edit with the values of other families' pairs. "
        "`mean-difference`, `probe`, `neurons`, `random-sae`: that of this baseline of the ablation.",
    )
    within: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Claim that the impact is no larger than this, in the metric's unit. Either this or "
        "`direction`.",
    )
    keeps: Keeps = Field(default=1.0, description=_KEEPS)

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        every: Mapping[Beyond, str] = {
            "zero": "",
            "controls": " beyond its matched controls",
            "directions": " beyond edits as large in random directions",
            "shuffled": " beyond the same edit with sources of other families",
            **{name: f" beyond {as_large(name)}" for name in BASELINES},
        }
        moves, against = f"ablation {self.ablation} moves the answers", every[self.beyond]
        if self.within is not None:
            return f"{moves}{against} by at most {much(self.within, metric, variants)}"
        return f"{moves} {toward(self.direction, variants)}{against}{measured(metric, variants)}"


class ShareClaim(MeasuredClaim, PartClaim):
    """About how much of what the variants differ by an edit closes."""

    kind: ClassVar[str] = "share"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    share: str = Field(description="The name of an ablation of this file.")
    than: float = Field(
        gt=0,
        lt=1,
        description="Claim that the edit closes more than this share of the difference between the "
        "variants: its impact, divided by how far the pair's other variant lies away.",
    )
    keeps: Keeps = Field(
        default=1.0, description=_KEEPS.removeprefix("Of `direction`: ").capitalize()
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"ablation {self.share} closes more than {self.than:.0%} of what the variants differ by"
            f"{measured(metric, variants)}"
        )


class MonotoneClaim(MeasuredClaim, PartClaim):
    """About the order of an edit's doses."""

    kind: ClassVar[str] = "monotone"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    monotone: str = Field(description="The name of an ablation of this file that has doses.")
    direction: Direction = Field(
        description="Claim that the answers move `toward-correct` or `toward-misconception` the more, "
        "the less of the selected features is left, over all doses."
    )
    keeps: Keeps = Field(
        default=1.0,
        description="By how many nats the probability of both answers together may fall at any dose before "
        "the claim is that they were destroyed.",
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"the less ablation {self.monotone} leaves of its features, the further the answers move "
            f"{toward(self.direction, variants)}{measured(metric, variants)}"
        )


class SpecificClaim(MeasuredClaim):
    """About what an edit does where there is nothing to mend: to the pair's other variant."""

    kind: ClassVar[str] = "specific"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    specific: str = Field(description="The name of an ablation of this file.")
    within: float = Field(
        gt=0,
        description="Claim that the same edit moves the answers of the other variant's prompts by no more "
        "than this, in the metric's unit.",
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        what = "the answers of the other variant"
        return f"ablation {self.specific} moves {what} by at most {much(self.within, metric, variants)}"


class CollateralClaim(EditClaim):
    """About what an edit does to prompts that have nothing to do with it."""

    kind: ClassVar[str] = "collateral"
    collateral: str = Field(description="The name of an ablation of this file.")
    prompts: str = Field(
        description="A JSONL file of other prompts, each text of which is answered with the edit and "
        "without; looked for where the spec's own are."
    )
    metric: Metric = Field(
        default="kl",
        description="What may change. `kl`: the next token's distribution, where the answers begin. "
        "`log_p_correct`: the log-probability of the right answer. Or another metric, as of claims about "
        "behaviour.",
    )
    within: float = Field(
        gt=0, description="Claim that it changes by less than this on average, in its unit."
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        what = metric_words(metric, variants)
        if metric in ("log_p_correct", "log_p_misconception"):
            role: Label = "correct" if metric == "log_p_correct" else "misconception"
            what = f"the log-probability of the {variants.answer(role)}"
        return (
            f"ablation {self.collateral} changes {what} by less than {self.within:g}{said_unit(metric)} "
            f"on the prompts of {self.prompts}"
        )


class DecoyClaim(EditClaim):
    """About whether an ablation's features answer a contrast that has nothing to do with the trait."""

    kind: ClassVar[str] = "decoy"
    decoy: str = Field(
        description="The name of an ablation of this file, whose frozen features are meant."
    )
    prompts: str = Field(
        description="A JSONL file of pairs in the same frames that differ in something irrelevant; looked "
        "for where the spec's own are. Each value of the tag `decoy` is a contrast of its own, and all "
        "must hold."
    )
    less_than: float = Field(
        gt=0,
        le=1,
        description="Claim that the features differ between the variants of a decoy by less than this share "
        "of what they differ by between those of the confirming families' pairs.",
    )

    def in_words(self, _variants: Variants, _metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"the features of ablation {self.decoy} answer the contrasts of {self.prompts} by less than "
            f"{self.less_than:.0%} of what they answer the trait by"
        )


class StableClaim(EditClaim):
    """About whether other families would have selected the same features."""

    kind: ClassVar[str] = "stable"
    stable: str = Field(description="The name of an ablation of this file.")
    than: float = Field(
        ge=0.5,
        lt=1,
        description="Claim that each of its features is selected in more than this share of the halves of "
        "the families that discover.",
    )

    def in_words(self, _variants: Variants, _metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"each feature of ablation {self.stable} is selected in more than {self.than:.0%} of the "
            "halves of the families that discover"
        )


class TokensClaim(EditClaim):
    """About whether an ablation's features are detectors of a few tokens."""

    kind: ClassVar[str] = "tokens"
    tokens: str = Field(
        description="The name of an ablation of this file that has `tokens`, whose frozen features are meant."
    )
    less_than: float = Field(
        gt=0,
        le=1,
        description="Claim that the features' strongest tokens, put into neutral texts, give them less than "
        "this share of what they are active by in the confirming families' prompts.",
    )

    def in_words(self, _variants: Variants, _metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"their strongest tokens in neutral texts give the features of ablation {self.tokens} less than "
            f"{self.less_than:.0%} of their activation in the confirming prompts"
        )


class TransfersClaim(MeasuredClaim):
    """About whether a set that another eval froze does here what it did there."""

    kind: ClassVar[str] = "transfers"
    later: ClassVar[Mapping[str, object]] = {"metric": None}
    transfers: str = Field(
        description="The name of an ablation of this file that takes its features `from` another eval, and "
        "edits them as they are edited there."
    )
    than: float = Field(
        gt=0,
        le=1,
        description="Claim that its impact here is more than this share of its impact on the confirming "
        "families of the run that froze the set.",
    )

    def in_words(self, variants: Variants, metric: str) -> str:
        """One sentence: what must be seen for the claim to be supported."""
        return (
            f"ablation {self.transfers} moves the answers by more than {self.than:.0%} of what it moves them "
            f"by where its features were frozen{measured(metric, variants)}"
        )


def measured(metric: str, variants: Variants) -> str:
    """In what the answers move, where it is not what impacts are usually measured in."""
    return "" if metric == "logit_difference" else f", in {metric_words(metric, variants)}"


def much(amount: float, metric: str, variants: Variants) -> str:
    """An amount in a metric, with its unit."""
    return f"{amount:g}{said_unit(metric)}{measured(metric, variants)}"


def toward(direction: Direction | None, variants: Variants) -> str:
    """Which answer a direction leads to, in words."""
    return f"toward the {variants.answer('correct' if direction == 'toward-correct' else 'misconception')}"
