"""The same eval on other splits of its families: what an ablation is there, and what speaks against it.

A set that one split selects is shown to matter on that split's other families. Whether the result hangs on
which families happened to discover is seen where the whole is done again on further splits: selected, frozen
and edited anew (Meinshausen, Meier and Buehlmann 2009, whose twice the median p combines them).
"""

import hashlib
from collections.abc import Iterator

from harness.names import LONGEST
from harness.specs.ablations import Ablation
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.edit_claims import EditClaim
from harness.specs.fields import Contradiction
from harness.specs.spec import Spec

COMBINED = 2  # times the median of the splits' p is one p again, whatever hangs together


def name_of(ablation: str, split: int) -> str:
    """What an ablation is called in the store on the split of this number; on its spec's own, 0, as it is."""
    return f"{ablation}.split-{split + 1}" if split else ablation


def specs_again(spec: Spec, target: str) -> tuple[Spec, ...]:
    """The spec on each further split that any of its ablations on this target asks for, the first is 1.

    It has those ablations alone, without what is measured beside them, and each is judged at the share of
    alpha that the combination leaves it.
    """
    asked = spec.ablations_on(target)
    most = max((one.splits for one in asked), default=1)
    return tuple(_again(spec, asked, number) for number in range(1, most))


def _again(spec: Spec, asked: tuple[Ablation, ...], number: int) -> Spec:
    drawn = hashlib.sha256(f"{spec.split.seed}/split/{number}".encode()).digest()
    alone = {
        "doses": (),
        "directions": 0,
        "shuffled": 0,
        "baselines": (),
        "tokens": None,
        "splits": 1,
    }
    alone |= {"complement": False, "leave_one_out": False}
    return spec.model_copy(
        update={
            "split": spec.split.model_copy(update={"seed": int.from_bytes(drawn[:4], "big")}),
            "contrast": spec.contrast.model_copy(update={"alpha": spec.contrast.alpha / COMBINED}),
            "ablations": tuple(
                one.model_copy(update={**alone, "name": name_of(one.name, number)})
                for one in asked
                if one.splits > number
            ),
        }
    )


def wrong_splits(spec: Spec, ablation: Ablation) -> Iterator[Contradiction]:
    """What keeps an ablation from being selected on several splits, as paths from the ablation."""
    if ablation.splits == 1:
        return
    if not ablation.select.uses_families:
        what = "no families select its features, so that every split has the same"
        yield ("splits",), what, "drop it, or select `by: contrast` or `by: attribution`"
    names = {name_of(ablation.name, number) for number in range(1, ablation.splits)}
    if taken := sorted(names & {one.name for one in spec.ablations}):
        what = f"'{taken[0]}' is what '{ablation.name}' is called on another split"
        yield ("name",), what, "call one of them something else"
    if len(name_of(ablation.name, ablation.splits)) > LONGEST:
        what = f"with the number of a split its name has more than {LONGEST} characters"
        yield ("name",), what, "call it something shorter"


def wrong_crossfit(claim: EditClaim, ablation: Ablation) -> Iterator[Contradiction]:
    """What keeps a claim from being about several splits, as paths from the claim."""
    if isinstance(claim, CrossfitClaim) and ablation.splits == 1:
        what = f"'{claim.edit}' is selected on one split"
        yield (claim.kind,), what, "give the ablation `splits: 5`"
