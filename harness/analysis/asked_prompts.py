"""Which of an ablation's prompts a claim is made of."""

import numpy as np
from numpy.typing import NDArray

from harness.specs.ablations import Ablation
from harness.specs.claim_part import PartClaim
from harness.specs.plan import Plan


def asked_prompts(plan: Plan, ablation: Ablation, claim: PartClaim) -> NDArray[np.bool_]:
    """Which of the edited prompts the claim is made of, (n_prompts,) by id."""
    edited = [one for one in plan.of("confirmation") if one.label == ablation.variant]
    edited.sort(key=lambda prompt: prompt.id)
    return np.array([claim.asks_of(prompt) for prompt in edited], dtype=bool)
