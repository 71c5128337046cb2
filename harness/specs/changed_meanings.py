"""What a spec says now and did not say in the first versions of the harness."""

from harness.specs.edit_claims import AblationClaim
from harness.specs.spec import Spec


def changed_meanings(spec: Spec) -> list[str]:
    """What a spec says now and did not say then, in sentences.

    Nothing of a spec that says what they did not know: it was written, or read again, for today's meaning.
    """
    if _is_newer(spec):
        return []
    notes = []
    claims = [one for one in spec.claims if isinstance(one, AblationClaim)]
    if names := [one.name for one in claims if one.beyond == "controls"]:
        notes.append(
            f"{', '.join(names)} holds beyond controls only where the impact by itself does so, too, and is "
            "refuted at a third of alpha; it once was held against the controls alone"
        )
    if names := [one.name for one in spec.ablations if "controls" not in one.model_fields_set]:
        notes.append(
            f"{', '.join(names)} has 99 sets of controls, where it once had 20; write `controls`"
        )
    ranked = [one for one in spec.ablations if one.select.by == "contrast"]
    if names := [one.name for one in ranked if "rank" not in one.select.model_fields_set]:
        notes.append(
            f"{', '.join(names)} selects by size, where it once did by consistency; write `rank`"
        )
    return [f"{spec.name}: {note}" for note in notes]


def _is_newer(spec: Spec) -> bool:
    """Whether a spec says anything that came with the meanings that changed, or after them."""
    said = {*spec.model_fields_set}.union(
        *(one.model_fields_set | one.select.model_fields_set for one in spec.ablations),
        *(one.model_fields_set for one in spec.claims),
    )
    newer = {"order", "unadjusted", "rank", "directions", "margin", "guard", "keeps", "cluster"}
    newer |= {"shortcuts", "where", "shuffled", "baselines", "complement", "leave_one_out"}
    kinds = {"behaviour", "features", "ablation"}
    return bool(said & newer) or any(one.kind not in kinds for one in spec.claims)
