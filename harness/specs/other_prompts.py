"""The prompts of other files than a spec's own: of collateral effects, of decoys, and neutral texts."""

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import Fault, InputError
from harness.specs.edit_claims import CollateralClaim, DecoyClaim
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts, load_texts
from harness.specs.spec import Spec


def load_others(
    spec: Spec, find: Callable[[str, str], Path], where: Callable[..., str]
) -> Mapping[str, tuple[Prompt, ...]]:
    """Those of each file that a claim or an ablation names, by that name; `find` finds one for such a part.

    `where` places that part. Raises `InputError` with all faults of all files.
    """
    found: dict[str, tuple[Prompt, ...]] = {}
    faults: list[Fault] = []
    for i, claim in enumerate(spec.claims):
        if isinstance(claim, CollateralClaim | DecoyClaim) and claim.prompts not in found:
            try:
                here = where("claims", i, "prompts")
                found[claim.prompts] = load_prompts(
                    find(claim.prompts, here), variants=spec.variants, or_old=True, asked=here,
                    chat=spec.chat,
                )  # fmt: skip
            except InputError as error:
                faults += error.faults
    for i, ablation in enumerate(spec.ablations):
        if ablation.tokens and ablation.tokens.into not in found:
            into = ablation.tokens.into
            try:
                path = find(into, where("ablations", i, "tokens", "into"))
                found[into] = load_texts(path, chat=spec.chat)
            except InputError as error:
                faults += error.faults
    if faults:
        raise InputError(*dict.fromkeys(faults))
    return found
