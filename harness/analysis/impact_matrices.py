"""Impacts as matrices of interventions and prompts, and what is measured beside them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_rows import AblationRows
from harness.analysis.controls import candidates_of, mean_profiles
from harness.analysis.noise_floor import noise_floors
from harness.specs.ablations import Ablation
from harness.specs.prompt import Prompt

Floats = NDArray[np.float64]


def floors_of(
    rows: AblationRows, values: Mapping[str, Floats], noop: NDArray[np.bool_]
) -> dict[str, float]:
    """By metric the largest change of a prompt that is no edit's; none of what was not measured."""
    floors = noise_floors(rows.noise)
    for metric in floors.keys() & values.keys():
        # Where not even the same batch gives the same numbers twice, that is noise as well.
        by_noop = np.abs(values[metric][noop]).max(initial=0.0)
        floors[metric] = max(floors[metric], float(by_noop))
    return floors


def set_profiles(ablation: Ablation, rows: AblationRows) -> Floats | None:
    """What the target and each control are like where they are edited; None of runs of before."""
    if not len(rows.edited):
        return None
    target = [one.features for one in rows.interventions if one.role == "target"]
    controls = [one.features for one in rows.interventions if one.role == "control"]
    candidates = candidates_of(ablation, rows.activity, rows.edited)
    return mean_profiles(candidates, [*target, *controls])


def impact_matrices(
    rows: AblationRows, prompts: Sequence[Prompt]
) -> tuple[dict[str, Floats], Floats]:
    """Impacts by metric, and whether any edited feature was active: (n_interventions, n_prompts)."""
    line = {edit.id: i for i, edit in enumerate(rows.interventions)}
    column = {prompt.id: i for i, prompt in enumerate(prompts)}
    size = (len(line), len(column))
    values: dict[str, Floats] = defaultdict(lambda: np.full(size, np.nan))
    active = np.zeros(size)
    impacts = rows.impacts
    for intervention, prompt, metric, impact, fired in zip(
        impacts.intervention_id,
        impacts.prompt_id,
        impacts.metric,
        impacts.impact,
        impacts.active,
        strict=True,
    ):
        if intervention in line:
            place = line[intervention], column[prompt]
            values[metric][place] = impact
            active[place] = fired
    return dict(values), active
