"""Claims in words, for people who have not read the spec."""

from harness.spec import AblationClaim, BehaviourClaim, Claim

_METRICS = {
    "logit_difference": "log p(right answer) - log p(misconception)",
    "log_p_correct": "log p(right answer)",
    "log_p_misconception": "log p(misconception)",
}


def in_words(claim: Claim) -> str:
    """One sentence, without the name: what must be seen for the claim to be supported."""
    if isinstance(claim, BehaviourClaim):
        what = _METRICS[claim.behaviour]
        what = f"the difference between the variants in {what}" if claim.contrast else what
        what = f"on average over families, {what}"
        if claim.within is not None:
            return f"{what} lies within {claim.within:g} nats of {claim.than:g}"
        return f"{what} is {claim.direction} than {claim.than:g} nats"
    if isinstance(claim, AblationClaim):
        against = " beyond its matched controls" if claim.beyond == "controls" else ""
        if claim.within is not None:
            return f"ablation {claim.ablation} moves the answers{against} by at most {claim.within:g} nats"
        way = "the right answer" if claim.direction == "toward-correct" else "the misconception"
        return f"ablation {claim.ablation} moves the answers toward {way}{against}"
    which = "of the known features " if claim.features == "truth" else ""
    bound = (
        f"at least {claim.at_least}" if claim.at_least is not None else f"at most {claim.at_most}"
    )
    one = 1 in (claim.at_least, claim.at_most)
    noun = which or ("feature " if one else "features ")
    return f"{bound} {noun}{'is' if one else 'are'} found to differ between the variants"
