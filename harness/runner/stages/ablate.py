"""Replay prompts with features edited, and measure what that does to the answers.

An edit changes nothing before the first position at which it moves anything, nor below its first
layer: only what lies after and above is computed again, from the residual stream and the attention
cache of one baseline forward, many interventions and prompts together.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.errors import CannotRun, Fault
from harness.interventions.layer_edits import make_bank
from harness.interventions.replays import Banks, Scores, Surgery
from harness.models.adaptive_batching import each
from harness.models.prompt_rows import Rows
from harness.runner.context import Bench
from harness.specs.intervention import Intervention
from harness.specs.prompt import LABELS, Prompt
from harness.store.tables.base import Columns
from harness.store.tables.interventions import Impacts, ImpactTokens

KEPT = 2**28  # bytes of residual stream, keys and values that a baseline may keep


def banks_of(bench: Bench, interventions: Sequence[Intervention]) -> Banks:
    """The edited features of every layer, lowest first: all that the replays need of the SAEs."""
    layers = sorted({layer for one in interventions for layer in one.layers})
    return {layer: make_bank(bench.saes(layer), layer, interventions) for layer in layers}


def intervene(
    bench: Bench,
    interventions: Sequence[Intervention],
    banks: Callable[[], Banks],
    donors: Mapping[str, Prompt],
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """The impact of every intervention on every metric of every prompt, and on every token.

    `donors` name the prompt that each prompt is resampled from, if any. Raises `CannotRun` where a
    no-op changes anything: then the hardware's arithmetic depends on more than the numbers, and no
    difference measured on it is the edit's alone.
    """
    rows = Rows(bench.model, prompts, lambda prompt: donors[prompt.id].text if donors else "")
    lenders: list[Prompt | None] = [None] * len(rows.tokens)
    for prompt in prompts:
        lenders[rows.row(prompt)] = donors.get(prompt.id)
    found = banks()

    def work(chosen: list[int]) -> Scores:
        surgery = Surgery(
            bench.model,
            bench.limit,
            interventions,
            found,
            rows,
            chosen,
            [lenders[i] for i in chosen],
        )
        return surgery.scores()

    longest = max(map(len, rows.tokens))
    most = bench.model.rows_within(KEPT, longest, list(found))
    scores: dict[int, tuple[Scores, int]] = {}
    for chosen, of in each(bench.limit, rows.tokens, work, most):
        scores |= {row: (of, i) for i, row in enumerate(chosen)}
    impacts, tokens = _Table(), _Table()
    ids = np.array([one.id for one in interventions])
    exact = np.array([one.role == "no-op" for one in interventions])
    for prompt in prompts:
        of, i = scores[rows.row(prompt)]
        answers = rows.candidates(prompt)
        active = of.active[:, i].numpy()
        for metric, (was, now) in of.measured(i, answers).items():
            if (wrong := exact & (now != was)).any():
                raise _inexact(prompt, metric, float((now - was)[wrong][0]))
            if not np.isfinite(now).all():
                raise CannotRun(
                    Fault(
                        f"prompt {prompt.id}",
                        f"an edit of ablation {interventions[0].ablation} makes {metric} infinite or NaN",
                        "give a smaller value, or use a wider dtype",
                    )
                )
            impacts.add(
                intervention_id=ids,
                prompt_id=prompt.id,
                metric=metric,
                baseline=was,
                edited=now,
                impact=now - was,
                active=active,
                source_id=donors[prompt.id].id if donors else None,
            )
        for label in LABELS:
            for index, token in enumerate(of.tokens(i, answers[label])):
                tokens.add(
                    intervention_id=ids[active],
                    prompt_id=prompt.id,
                    candidate=label,
                    token_index=index,
                    **{name: values[active] for name, values in token.items()},
                )
    return [table.of(kind, bench) for table, kind in ((impacts, Impacts), (tokens, ImpactTokens))]


class _Table:
    """Columns that grow by parts: the same number of rows in each, or one value for all of them."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Any]] = defaultdict(list)

    def add(self, *, intervention_id: Any, **columns: Any) -> None:
        size = len(intervention_id)
        self._parts["intervention_id"].extend(intervention_id)
        for name, values in columns.items():
            whole = isinstance(values, np.ndarray)
            self._parts[name].extend(values.tolist() if whole else [values] * size)

    def of(self, kind: type[Columns], bench: Bench) -> Columns:
        size = len(self._parts["intervention_id"])
        shared = {"run_id": [bench.run_id] * size, "origin": [bench.origin] * size}
        return kind(
            **shared | {name: self._parts[name] for name in kind.names() if name not in shared}
        )


def _inexact(prompt: Prompt, metric: str, difference: float) -> CannotRun:
    return CannotRun(
        Fault(
            f"prompt {prompt.id}",
            f"an edit that changes nothing changed {metric} by {difference:.3g}",
            "use deterministic kernels, another device, another dtype, or on a CPU a number of threads "
            "that is a power of two (OMP_NUM_THREADS)",
        )
    )
