"""Rows of the store as paired arrays: pairs down, features across."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.analysis.units import Units, units_of
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import LABELS, Label, pairs_of
from harness.specs.split import Side
from harness.stats.own_metrics import Metrics, all_metrics
from harness.store.tables.observations import Activations, Answers, Baselines

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedActivations:
    """Feature values of both variants at the readout, of every feature ever active in them.

    `correct` and `misconception` are (n_pairs, n_features), 0 where a feature is not active, and
    `units` says which pairs hang together: those of a family, or of what the spec clusters by. `features` are
    in ascending order.
    """

    features: tuple[Feature, ...]
    correct: Floats
    misconception: Floats
    units: Units

    def of(self, label: Label) -> Floats:
        """The values of one variant, (n_pairs, n_features)."""
        return self.correct if label == "correct" else self.misconception


def pair_activations(plan: Plan, side: Side, rows: Activations) -> PairedActivations:
    """The feature values of one side's pairs, from rows of the store that may be of both sides."""
    pairs = pairs_of(plan.of(side))
    # Both variants are filled in at once, one below the other: a feature that is active in one of them
    # alone has a column in both.
    row = {
        prompt.id: i + half * len(pairs)
        for half, label in enumerate(("correct", "misconception"))
        for i, prompt in enumerate(getattr(pair, label) for pair in pairs)
    }
    at = np.array([row.get(str(prompt), -1) for prompt in rows.prompt_id], dtype=np.intp)
    of_side = at >= 0
    keys = np.column_stack([np.asarray(rows.layer), np.asarray(rows.feature)])[of_side]
    features, column = np.unique(keys, axis=0, return_inverse=True)
    values = np.zeros((2 * len(pairs), len(features)))
    values[at[of_side], column.ravel()] = np.asarray(rows.value, dtype=float)[of_side]
    return PairedActivations(
        features=tuple((int(layer), int(feature)) for layer, feature in features),
        correct=values[: len(pairs)],
        misconception=values[len(pairs) :],
        units=units_of(plan, [pair.family for pair in pairs], plan.spec.cluster),
    )


def behaviours(
    rows: Answers | Baselines, own: Metrics = MappingProxyType({})
) -> Mapping[str, Mapping[str, float]]:
    """Every metric of every prompt, from the log-probabilities of its candidates' tokens.

    In the metric's unit; `own` are registered ones. Of a candidate without tokens, as no run leaves one, it
    is 0.
    """
    members: dict[tuple[str, Label, int], float] = defaultdict(float)
    numbers = rows.member if isinstance(rows, Answers) else (0 for _ in rows.prompt_id)
    for prompt, candidate, member, logprob in zip(
        rows.prompt_id, rows.candidate, numbers, rows.logprob, strict=True
    ):
        label: Label = "correct" if candidate == "correct" else "misconception"
        members[str(prompt), label, member or 0] += float(logprob)
    sums: dict[str, dict[Label, float]] = defaultdict(dict)
    for (prompt, label, _), logprob in members.items():
        so_far = sums[prompt].get(label)
        # Of a set of answers the log of their probability together.
        sums[prompt][label] = logprob if so_far is None else float(np.logaddexp(so_far, logprob))
    positive, negative = (
        np.array([one.get(label, 0.0) for one in sums.values()], dtype=np.float64)
        for label in LABELS
    )
    values = {name: some.tolist() for name, some in all_metrics(positive, negative, own).items()}
    return {
        prompt: {name: some[i] for name, some in values.items()} for i, prompt in enumerate(sums)
    }
