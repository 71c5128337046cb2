"""Claims as a spec makes them, and in words for people who have not read it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from harness.specs.claim_part import ClaimPart, PartClaim
from harness.specs.clusters import FAMILY, plural
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.edit_claims import (
    AblationClaim,
    CollateralClaim,
    DecoyClaim,
    EditClaim,
    MonotoneClaim,
    ShareClaim,
    SpecificClaim,
    StableClaim,
    TokensClaim,
    TransfersClaim,
)
from harness.specs.metrics import KL, Metric, metric_words, said_unit
from harness.specs.set_claims import ComplementClaim, NeededClaim
from harness.specs.variants import Variants

ROLES = Variants()


class BehaviourClaim(PartClaim):
    """About what the model answers, without looking inside."""

    kind: ClassVar[str] = "behaviour"
    later: ClassVar[Mapping[str, object]] = {"beyond": "zero"}
    behaviour: Metric = Field(
        description="What the model answers. `logit_difference`: log p(correct) - log "
        "p(misconception), of a prompt's two candidate answers, in nats. `log_p_correct`, "
        "`log_p_misconception`: one of the two. `log_mass`, `mass`: the probability of both together, or "
        "its log, in nats. `accuracy`: the share of prompts on which the positive answer is likelier. Or "
        "a metric of your own, which a package registers as an entry point of `harness.metrics`."
    )
    contrast: bool = Field(
        default=False, description="Compare the variants of each pair instead of their common mean."
    )
    direction: Literal["greater", "less"] | None = Field(
        default=None,
        description="Claim that the mean is `greater` or `less` than `than`. Either this or `within`.",
    )
    beyond: Literal["zero", "baseline"] = Field(
        default="zero",
        description="What is taken away first, pair by pair. `zero`: nothing. `baseline`: what each prompt's "
        "`baseline`, the same sentence without its scene, gives for the same two answers.",
    )
    than: float = Field(
        default=0.0, description="What the mean is compared with, in the metric's unit."
    )
    within: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Claim equivalence to `than` within this margin, in the metric's unit. Either this or "
        "`direction`.",
    )

    @property
    def is_level(self) -> bool:
        """Whether it holds a mean itself against a value, and no difference of two means against none."""
        return not self.contrast and self.beyond == "zero"


class FeatureClaim(ClaimPart):
    """About the paired tests of the features."""

    kind: ClassVar[str] = "features"
    later: ClassVar[Mapping[str, object]] = {"guard": False, "margin": None, "among": None}
    features: Literal["significant", "truth"] = Field(
        description="What is counted on the confirming families. `significant`: the features whose "
        "corrected test rejects. `truth`: those of the target's known features among them."
    )
    at_least: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Claim that there are so many or more. Either this or `at_most`."
    )
    at_most: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="So many or fewer, as a `guard` or with a `margin`. Either this or `at_least`.",
    )
    margin: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Of `at_most`: claim that all features but so many differ by less than this, in standard "
        "deviations of the families (d_z): simultaneous equivalence over all features.",
    )
    among: str | None = Field(
        default=None,
        description="The name of an ablation of this file: count its features alone, so that what is found "
        "to differ and what is edited are the same.",
    )
    guard: bool = Field(
        default=False,
        description="Of `at_most`: that nothing more was called keeps watch over a run and shows nothing, "
        "so it is held or broken, and never supported.",
    )


CLAIM_KINDS: dict[str, type[ClaimPart]] = {
    model.kind: model
    for model in (
        BehaviourClaim,
        FeatureClaim,
        AblationClaim,
        ShareClaim,
        MonotoneClaim,
        SpecificClaim,
        CollateralClaim,
        DecoyClaim,
        StableClaim,
        ComplementClaim,
        NeededClaim,
        TokensClaim,
        CrossfitClaim,
        TransfersClaim,
    )
}
A_CLAIM_IS = f"a claim is about one of {', '.join([*CLAIM_KINDS][:-1])} or {[*CLAIM_KINDS][-1]}"


def _claim_kind(claim: Any) -> str | None:
    if isinstance(claim, dict):
        return next((kind for kind in CLAIM_KINDS if kind in claim), None)
    return next((kind for kind, model in CLAIM_KINDS.items() if isinstance(claim, model)), None)


Claim = Annotated[
    Annotated[BehaviourClaim, Tag("behaviour")]
    | Annotated[FeatureClaim, Tag("features")]
    | Annotated[AblationClaim, Tag("ablation")]
    | Annotated[ShareClaim, Tag("share")]
    | Annotated[MonotoneClaim, Tag("monotone")]
    | Annotated[SpecificClaim, Tag("specific")]
    | Annotated[CollateralClaim, Tag("collateral")]
    | Annotated[DecoyClaim, Tag("decoy")]
    | Annotated[StableClaim, Tag("stable")]
    | Annotated[ComplementClaim, Tag("complement")]
    | Annotated[NeededClaim, Tag("needed")]
    | Annotated[TokensClaim, Tag("tokens")]
    | Annotated[CrossfitClaim, Tag("crossfit")]
    | Annotated[TransfersClaim, Tag("transfers")],
    Discriminator(
        _claim_kind,
        custom_error_type="claim_kind",
        custom_error_message=A_CLAIM_IS,
    ),
]


def in_words(
    claim: Claim,
    cluster: str = FAMILY,
    variants: Variants = ROLES,
    metric: str = "logit_difference",
) -> str:
    """One sentence, without the name: what must be seen for the claim to be supported.

    `cluster` is what the spec's tests count, where the claim says nothing of its own, and `variants` what
    it calls the variants; impacts are measured in `metric` where the claim names no other.
    """
    if isinstance(claim, BehaviourClaim):
        what = metric_words(claim.behaviour, variants)
        what = f"the difference between the variants in {what}" if claim.contrast else what
        if claim.beyond == "baseline":
            what = f"{what}, beyond what the same sentences without their scenes give,"
        what = f"on average over families, {what}"
        unit = said_unit(claim.behaviour)
        if claim.within is not None:
            said = f"{what} lies within {claim.within:g}{unit} of {claim.than:g}"
        else:
            said = f"{what} is {claim.direction} than {claim.than:g}{unit}"
        return said + claim.where_in_words
    if isinstance(claim, EditClaim):
        return claim.in_words(variants, getattr(claim, "metric", None) or metric) + (
            claim.where_in_words if isinstance(claim, PartClaim) else ""
        )
    which = "of the known features " if claim.features == "truth" else ""
    edited = f", of those of ablation {claim.among}" if claim.among else ""
    if claim.margin is not None:
        but = f", but at most {claim.at_most}," if claim.at_most else ""
        return (
            f"every {'known ' if which else ''}feature{but} differs between the variants by less than "
            f"{claim.margin:g} standard deviations of the {plural(claim.cluster or cluster)}{edited}"
        )
    bound = (
        f"at least {claim.at_least}" if claim.at_least is not None else f"at most {claim.at_most}"
    )
    one = 1 in (claim.at_least, claim.at_most)
    noun = which or ("feature " if one else "features ")
    return f"{bound} {noun}{'is' if one else 'are'} found to differ between the variants{edited}"


def is_equivalence(claim: Claim) -> bool:
    """Whether it says that a mean lies inside a margin: by an interval of 1 - 2 alpha."""
    if isinstance(claim, BehaviourClaim):
        return claim.within is not None
    if isinstance(claim, AblationClaim):
        return claim.within is not None and claim.metric != KL
    if isinstance(claim, CollateralClaim | SpecificClaim | ComplementClaim):
        return claim.metric != KL
    return False
