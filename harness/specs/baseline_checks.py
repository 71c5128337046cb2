"""What contradicts itself in an ablation's baselines, and in claims that are held against them."""

from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim
from harness.specs.fields import BASELINES, RANDOM_SAE, Contradiction


def wrong_baselines(ablation: Ablation) -> list[Contradiction]:
    """Baselines that are named twice, or that the kind of edit does not have, as paths from the ablation."""
    twice = {name for name in ablation.baselines if ablation.baselines.count(name) > 1}
    found: list[Contradiction] = [
        (("baselines",), f"'{name}' is named twice", "drop one") for name in sorted(twice)
    ]
    if RANDOM_SAE in ablation.baselines and ablation.kind == "resample":
        what = "random features take no values of other prompts"
        remedy = f"drop {RANDOM_SAE}, or use another kind, such as `zero`"
        found.append((("baselines",), what, remedy))
    return found


def wrong_rivals(ablation: Ablation, claim: AblationClaim) -> list[Contradiction]:
    """What keeps a claim from being held against a baseline, as paths from the claim."""
    name = claim.beyond
    if name not in BASELINES:
        return []
    if name not in ablation.baselines:
        what = f"'{claim.edit}' is held against no {name}"
        return [(("beyond",), what, f"give the ablation `baselines: [{name}]`")]
    if claim.within is not None:
        what = "that an edit does as little as its baseline is not what a baseline is for"
        return [(("within",), what, "give `direction`, or hold it against controls")]
    if claim.direction != (toward := f"toward-{ablation.select.toward}"):
        what = f"the baseline moves {toward}, so that another way there is nothing to beat"
        return [(("direction",), what, f"claim `{toward}`, or select `toward` the other one")]
    return []
