"""Rows of the store as paired arrays: pairs down, features across."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from harness.analysis.units import Units, units_of
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import LABELS, Label, Pair, pairs_of
from harness.specs.split import Side
from harness.stats.own_metrics import Metrics, all_metrics
from harness.store.active_values import active_values
from harness.store.interface import ReadStore
from harness.store.tables.observations import Activations, Answers, Baselines

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class PairedActivations:
    """Feature values of both variants at the readout, of every feature ever active in them.

    `correct` and `misconception` are sparse columns, (n_pairs, n_features), and `units` says which pairs hang
    together: those of a family, or of what the spec clusters by. `features` are in ascending order.
    """

    features: tuple[Feature, ...]
    correct: sparse.csc_array
    misconception: sparse.csc_array
    units: Units

    def of(self, label: Label) -> sparse.csc_array:
        """The values of one variant, (n_pairs, n_features)."""
        return self.correct if label == "correct" else self.misconception


def read_pairs(source: ReadStore, plan: Plan, side: Side, run_id: str) -> PairedActivations:
    """The feature values of one side's pairs, from the store: what is held are the active ones alone."""
    pairs = pairs_of(plan.of(side))
    prompts = _in_rows(pairs)
    parts = (
        (layer, *active_values(source, run_id, layer, prompts)) for layer in sorted(plan.layers)
    )
    return _paired(plan, pairs, parts)


def pair_activations(plan: Plan, side: Side, rows: Activations) -> PairedActivations:
    """The same from rows of the store, which may be of both sides."""
    pairs = pairs_of(plan.of(side))
    row = {prompt: i for i, prompt in enumerate(_in_rows(pairs))}
    at = np.array([row.get(str(prompt), -1) for prompt in rows.prompt_id], dtype=np.int64)
    layers, features = np.asarray(rows.layer, np.int64), np.asarray(rows.feature, np.int64)
    order = np.lexsort((at, features, layers))
    order = order[at[order] >= 0]
    values = np.asarray(rows.value, dtype=float)
    parts = (
        (int(layer), at[own], features[own], values[own])
        for layer in np.unique(layers[order])
        for own in [order[layers[order] == layer]]
    )
    return _paired(plan, pairs, parts)


def _in_rows(pairs: Sequence[Pair]) -> list[str]:
    """The prompts whose values are read: both variants at once, one below the other.

    A feature that is active in one of them alone has a column in both.
    """
    return [pair.correct.id for pair in pairs] + [pair.misconception.id for pair in pairs]


def _paired(
    plan: Plan, pairs: Sequence[Pair], parts: Iterable[tuple[int, Integers, Integers, Floats]]
) -> PairedActivations:
    """From each layer's active values: their rows of `_in_rows`, features and values, by feature and row."""
    n = len(pairs)
    features: list[Feature] = []
    halves: tuple[list[sparse.csc_array], list[sparse.csc_array]] = [], []
    for layer, row, feature, value in parts:
        own = np.unique(feature)
        features += [(layer, one) for one in own.tolist()]
        for half, columns in enumerate(halves):
            here = row // max(n, 1) == half
            start = np.searchsorted(feature[here], [*own, math.inf])
            inside = value[here], row[here] - half * n, start
            columns.append(sparse.csc_array(inside, shape=(n, len(own))))
    correct, misconception = (
        sparse.hstack([sparse.csc_array((n, 0)), *columns], format="csc") for columns in halves
    )
    units = units_of(plan, [pair.family for pair in pairs], plan.spec.cluster)
    return PairedActivations(tuple(features), correct, misconception, units)


def feature_means(values: sparse.csc_array) -> Floats:
    """The mean of each column, (n_features,), of sparse (n_pairs, n_features): added up pair by pair."""
    column = np.repeat(np.arange(values.shape[1]), np.diff(values.indptr))
    return np.bincount(column, values.data, values.shape[1]) / values.shape[0]


def behaviours(
    rows: Answers | Baselines, own: Metrics = MappingProxyType({})
) -> Mapping[str, Mapping[str, float]]:
    """Every metric of every prompt, from the log-probabilities of its candidates' tokens.

    In the metric's unit; `own` are registered ones. Of a candidate without tokens, as no run leaves one, it
    is 0.
    """
    prompts = pa.array(rows.prompt_id, "string").dictionary_encode()
    n = len(prompts.dictionary)
    texts = np.asarray(prompts.indices, np.int64)
    label = np.asarray(rows.candidate, object) != "correct"
    members = np.zeros(len(texts), np.int64)
    if isinstance(rows, Answers):
        members = np.asarray(
            pa.array(rows.member, "int64", from_pandas=True).fill_null(0), np.int64
        )
    logprobs = np.asarray(rows.logprob, np.float64)
    # A row a prompt and a column a variant: each member's tokens together, and of a set of answers the log
    # of their probability together.
    sums, known = np.full(n * len(LABELS), -np.inf), np.zeros(n * len(LABELS), bool)
    for member in np.unique(members):
        mine = members == member
        at = texts[mine] * len(LABELS) + label[mine]
        there = np.unique(at)
        together = np.bincount(at, logprobs[mine], len(sums))[there]
        sums[there], known[there] = np.logaddexp(sums[there], together), True
    positive, negative = np.where(known, sums, 0.0).reshape(n, len(LABELS)).T
    values = {name: some.tolist() for name, some in all_metrics(positive, negative, own).items()}
    return {
        prompt: {name: some[i] for name, some in values.items()}
        for i, prompt in enumerate(prompts.dictionary.to_pylist())
    }
