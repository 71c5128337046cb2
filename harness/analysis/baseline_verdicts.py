"""Claims that an edit does more than an edit as large along a direction that needed no dictionary.

Such a claim says two things: that the edit moves the answers its way by itself, and that it does so by more
than its baseline, prompt by prompt. It is supported where both are shown at alpha, an intersection-union test
(Berger 1982), and refuted where one of them is shown the other way at half of alpha: there is one baseline,
which was frozen before, so that one that does more settles the claim.
"""

from dataclasses import replace

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.claim_parts import decided, family_part, noise_words, own_words, p_of
from harness.analysis.verdict import Verdict
from harness.specs.fields import BASELINES, Baseline

PARTS = 2  # own impact, beyond the baseline


def judge_beside_baseline(
    impacts: AblationImpacts, baseline: Baseline, beyond: Verdict, direction: int, alpha: float
) -> Verdict:
    """The verdict on `beyond`, target minus baseline, with the impact by itself.

    The controls of these `impacts` are the one baseline.
    """
    words, unit = BASELINES[baseline], impacts.unit
    parts = (
        family_part(
            "its own impact", impacts.target, impacts.units, impacts.noise, direction, alpha, PARTS
        ),
        family_part(
            f"beyond {words}",
            impacts.beyond,
            impacts.units,
            2 * impacts.noise,
            direction,
            alpha,
            PARTS,
        ),
    )
    verdict, decides = decided(parts)
    alone = own_words(impacts.target, impacts.units, unit, alpha)
    said = [beyond.because, alone, f"{words} {impacts.controls.mean():+.3g} {unit}"]
    said += [decides] * bool(decides)
    if any(part.noisy for part in parts):
        said.append(noise_words(impacts.noise, unit))
    return replace(beyond, verdict=verdict, p=p_of(parts, verdict, PARTS), because=", ".join(said))
