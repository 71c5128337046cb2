"""Claims about doses: whether the answers move the further, the less of the features is left."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import hold_against_mass, hold_against_noise
from harness.analysis.mean_verdicts import Bound, judge_mean, side_of
from harness.analysis.verdict import Verdict
from harness.specs.edit_claims import MonotoneClaim

Floats = NDArray[np.float64]


def judge_monotone(impacts: AblationImpacts, claim: MonotoneClaim, alpha: float) -> Verdict:
    """Whether the metric rises, or falls, as the features are taken away, and nowhere turns round.

    What is tested is the mean of least-squares slopes over the doses, with the untouched prompts as dose
    1. Beside it every step between neighbouring doses is held against the claim: one that is shown to go
    the other way, at alpha divided by the number of steps (Bonferroni), refutes it.
    """
    direction = (1 if claim.direction == "toward-correct" else -1) * impacts.kind.toward
    doses = {1.0: np.zeros(len(impacts.target)), **impacts.doses}
    factors = sorted(doses, reverse=True)
    weights = slope_weights(factors)
    slopes = np.sum([w * doses[f] for w, f in zip(weights, factors, strict=True)], axis=0)
    blank = Verdict(claim.name, claim.kind, "slope")
    found = judge_mean(blank, slopes, impacts.units, Bound(0.0, None), direction, alpha)
    if found.p is None:
        return found
    # Each dose's impact may be off by the noise.
    noise = impacts.noise * float(np.abs(weights).sum())
    found = hold_against_noise(found, Bound(0.0, None), noise, impacts.unit)
    means = ", ".join(f"x{factor:g} {doses[factor].mean():+.3g}" for factor in factors)
    found = replace(found, because=f"{found.because}, mean impacts {means} {impacts.unit}")
    if against := _turns(doses, factors, impacts, direction, alpha):
        because = f"{found.because}; the other way: {', '.join(against)}"
        return replace(found, verdict="refuted", p=min(against.values()), because=because)
    for factor, mass in impacts.dose_mass.items():
        found = hold_against_mass(found, mass[None], claim.keeps, f"at x{factor:g} ")
    return found


def slope_weights(factors: list[float]) -> Floats:
    """What each dose's impact weighs in the slope over what is taken away, 1 - factor, (n_doses,)."""
    away = 1 - np.array(factors)
    away = away - away.mean()
    return np.asarray(away / np.square(away).sum())


def _turns(
    doses: Mapping[float, Floats],
    factors: list[float],
    impacts: AblationImpacts,
    direction: int,
    alpha: float,
) -> dict[str, float]:
    """The steps that are shown to go against the direction, in words, each with its corrected p."""
    found: dict[str, float] = {}
    steps = list(pairwise(factors))
    for more, less in steps:
        side = side_of(doses[less] - doses[more], impacts.units, 0.0, alpha / len(steps))
        # Two impacts, each of which may be off by the noise.
        clear = not impacts.noise > 0 or min(abs(side.low), abs(side.high)) > 2 * impacts.noise
        if side.rejects and side.sign == -direction and clear:
            found[f"x{more:g} to x{less:g} {side.mean:+.3g} {impacts.unit}"] = min(
                1.0, len(steps) * side.p
            )
    return found
