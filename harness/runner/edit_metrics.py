"""The metrics of edited rows: those that every run has, and those that a spec asks for besides."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.interventions.replay_scores import ReplayScores
from harness.runner.context import RunContext
from harness.specs.metrics import STORED
from harness.specs.prompt import Label
from harness.stats.own_metrics import all_metrics

Floats = NDArray[np.float64]


def edit_metrics(
    context: RunContext, scores: ReplayScores, row: int, answers: Mapping[Label, Sequence[int]]
) -> dict[str, tuple[Floats, Floats]]:
    """Every metric of a row without and with each intervention, (interventions,) each, in its unit.

    As `ReplayScores.metrics`, with what the run's spec asks for besides.
    """
    found = scores.metrics(row, answers)
    asked = context.asked - STORED
    if not asked:
        return found
    correct, other = found["log_p_correct"], found["log_p_misconception"]
    if not all(np.isfinite(one).all() for one in (*correct, *other)):
        return found  # which is said of these
    before, after = (
        all_metrics(positive, negative, context.own)
        for positive, negative in zip(correct, other, strict=True)
    )
    return found | {name: (before[name], after[name]) for name in sorted(asked)}
