"""What keeps an ablation from having a complement, or sets without one member, and claims about these."""

from collections.abc import Iterator

from harness.specs.ablations import Ablation
from harness.specs.edit_claims import EditClaim, TransfersClaim
from harness.specs.fields import Contradiction
from harness.specs.set_claims import ComplementClaim, NeededClaim
from harness.specs.workload import members_of


def wrong_sets(ablation: Ablation) -> Iterator[Contradiction]:
    """What an ablation asks for beside its set and cannot have, as paths from the ablation."""
    if ablation.complement and ablation.source != "pair":
        what = "only from its own pair can a prompt take what all other features are"
        yield ("complement",), what, "drop it, or use `kind: resample`, `source: pair`"
    if ablation.leave_one_out and members_of(ablation) == 1 and not ablation.select.source:
        what = "a set of one feature leaves nothing where that is left out"
        yield ("leave_one_out",), what, "drop it, or select two or more features"


def wrong_set_claim(claim: EditClaim, ablation: Ablation) -> Iterator[Contradiction]:
    """What keeps a claim from being about this ablation's complement, its members, or where it was frozen."""
    if isinstance(claim, ComplementClaim):
        if (claim.within is None) == (claim.within_share is None):
            what = "the claim has no margin, or two"
            yield (claim.kind,), what, "give within or within_share"
        if not ablation.complement:
            what = f"'{claim.edit}' has no edit of all that it leaves out"
            remedy = "give the ablation `complement: true`"
            if ablation.source != "pair":
                remedy = "claim it of one of `kind: resample`, `source: pair`, `complement: true`"
            yield (claim.kind,), what, remedy
    if isinstance(claim, TransfersClaim) and not ablation.select.source:
        what = f"'{claim.edit}' selects its features here"
        yield (claim.kind,), what, "claim it of one that takes them `from` another eval"
    if isinstance(claim, NeededClaim) and not ablation.leave_one_out:
        what = f"'{claim.edit}' has no edits that leave out one feature"
        yield (claim.kind,), what, "give the ablation `leave_one_out: true`"
