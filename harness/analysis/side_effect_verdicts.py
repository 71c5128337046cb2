"""Claims about what an edit should leave alone: the other variant's prompts, and those of another file."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import hold_against_noise
from harness.analysis.mean_verdicts import bound_of, judge_mean
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.edit_claims import CollateralClaim, SpecificClaim
from harness.specs.metrics import kind_of
from harness.store.tables.interventions import SideEffects


def judge_side_effect(
    rows: SideEffects,
    claim: SpecificClaim | CollateralClaim,
    impacts: AblationImpacts,
    alpha: float,
    units_of: Callable[[ArrayLike], Units] = Units.by_family,
    units: Mapping[str, str] | None = None,
) -> Verdict:
    """Whether an edit's effect lies inside the claim's margin, from a run's rows of one ablation.

    `impacts` are those of the ablation where it is meant to act: of them the device's noise is taken.
    `units_of` says what the families (n,) of the rows are to the test, and `units` are those of registered
    metrics.
    Of KL, which is never below 0, it is asked whether the mean lies below the margin.
    """
    file = claim.prompts if isinstance(claim, CollateralClaim) else ""
    metric = claim.metric if isinstance(claim, CollateralClaim) else impacts.metric
    unit = impacts.unit if metric == impacts.metric else kind_of(metric, units or {}).unit
    mine = (np.asarray(rows.file, str) == file) & (np.asarray(rows.metric, str) == metric)
    role, values = np.asarray(rows.role, str), np.asarray(rows.impact, float)
    target = mine & (role == "target")
    bound = bound_of(claim, metric)
    found = judge_mean(
        Verdict(claim.name, claim.kind, unit),
        values[target],
        units_of(np.asarray(rows.family, str)[target]),
        bound,
        0 if bound.margin else -1,
        alpha,
    )
    # No other metric's noise says what this one's is.
    if metric == impacts.metric:
        found = hold_against_noise(found, bound, impacts.noise, unit)
    controls = values[mine & (role == "control")]
    if len(controls) and found.p is not None:
        return replace(
            found, because=f"{found.because}, its controls {controls.mean():+.3g} {unit}"
        )
    return found
