"""How often a claim that an edit moves the answers would be supported, or refuted, of sets drawn at random.

Each control takes the target's place once, with the other controls for its own, and is judged as the target
is: with the run's own impacts and families, and all in which these depart from what the tests assume. The
sets share controls and families, so that what is counted is no independent sample; a share far above alpha
still says that random sets do what the claim says of the target.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.verdict import Verdict
from harness.specs.edit_claims import AblationClaim


@dataclass(frozen=True)
class ControlErrors:
    """Of so many control `sets`, each in the target's place: how many are `supported`, and `refuted`."""

    sets: int
    supported: int
    refuted: int

    def __str__(self) -> str:
        return (
            f"of its {self.sets} controls, each in its place, {self.supported} would be supported and "
            f"{self.refuted} refuted"
        )


def control_errors(
    impacts: AblationImpacts, claim: AblationClaim, alpha: float
) -> ControlErrors | None:
    """What a claim beside controls would be called of each of them, from the impacts that a run stored.

    The true target is left out: it is no random set. None where each has too few others to be judged, as
    of 19 at .05. How like the others a set is keeps none from being judged: all were drawn alike.
    """
    found = Counter(
        judge_ablation(_in_place(impacts, number), claim, alpha).verdict
        for number in range(len(impacts.controls))
    )
    judged = sum(found.values()) - found["untestable"]
    return ControlErrors(judged, found["supported"], found["refuted"]) if judged else None


def with_control_errors(
    verdict: Verdict, impacts: AblationImpacts, claim: AblationClaim, alpha: float
) -> Verdict:
    """A verdict that says what its claim would be called of its controls.

    Only of a claim with a direction: that a random set does nothing, within a margin, may well be true.
    """
    if claim.beyond != "controls" or not claim.direction or verdict.verdict == "untestable":
        return verdict
    errors = control_errors(impacts, claim, alpha)
    return replace(verdict, because=f"{verdict.because}; {errors}") if errors else verdict


def _in_place(impacts: AblationImpacts, number: int) -> AblationImpacts:
    """One control as the target, and the others as its controls."""
    others = np.delete(np.arange(len(impacts.controls)), number)
    # Of what has a row for the target too: that of the control in its place.
    rows = 1 + np.concatenate([[number], others])
    return replace(
        impacts,
        target=impacts.controls[number],
        controls=impacts.controls[others],
        profiles=None if impacts.profiles is None else impacts.profiles[rows],
        mass=None if impacts.mass is None else impacts.mass[rows],
        balance={},
        planned=len(others),
    )
