"""Replay prompts with features removed, and measure what that does to the answers.

An edit changes nothing before the first position at which one of its features is active, nor below
its first layer: only what lies after and above is computed again, from the residual stream and the
attention cache of one baseline forward. The edited and the unedited residual stream are replayed in
the same geometry, so that their difference is the edit's alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.batch import where
from harness.edits import move
from harness.faults import CannotRun, Fault
from harness.interventions import Intervention
from harness.measures import measures
from harness.records import Columns, Impacts, Prompt
from harness.sae.jumprelu import Sae, encode
from harness.work import Answers, Bench, Kept, Rows, batches

STEP = 16  # replays begin at multiples of so many columns, so that they can share a baseline

Sums = list[list[float]]  # by row, then by answer: summed log-probabilities


def intervene(
    bench: Bench, interventions: Sequence[Intervention], prompts: Sequence[Prompt]
) -> list[Columns]:
    """The impact of every intervention on every metric of every prompt, in nats.

    Raises `CannotRun` where a no-op changes anything: then the hardware's arithmetic depends on more
    than the numbers, and no difference measured on it is the edit's alone.
    """
    rows = Rows(bench.model, prompts)
    before: dict[tuple[str, int], list[float]] = {}
    after: dict[tuple[str, int], list[float]] = {}
    active: dict[tuple[str, int], bool] = {}
    layers = sorted({layer for one in interventions for layer, _ in one.features})
    for chosen, batch in batches(bench.model, rows.tokens, bench.batch_size):
        replays = _Replays(bench, bench.model.keep(batch, layers))
        for one in interventions:
            unedited, edited, fired = replays.of(one)
            for i, row in enumerate(chosen):
                key = (one.id, row)
                before[key], after[key], active[key] = unedited[i], edited[i], fired[i]
    impacts = []
    for one in interventions:
        for prompt in prompts:
            key = (one.id, rows.row(prompt))
            candidates = rows.candidates(prompt)
            was = measures({label: before[key][answer] for label, answer in candidates.items()})
            found = measures({label: after[key][answer] for label, answer in candidates.items()})
            for metric, value in found.items():
                if one.role == "no-op" and value != was[metric]:
                    raise CannotRun(
                        Fault(
                            f"prompt {prompt.id}",
                            f"an edit that changes nothing changed {metric} by "
                            f"{value - was[metric]:.3g}",
                            "use deterministic kernels, another device or another dtype",
                        )
                    )
                impacts.append(
                    {
                        "run_id": bench.run_id,
                        "intervention_id": one.id,
                        "prompt_id": prompt.id,
                        "metric": metric,
                        "baseline": was[metric],
                        "edited": value,
                        "impact": value - was[metric],
                        "active": active[key],
                        "origin": bench.origin,
                    }
                )
    return [Impacts.of(impacts)]


class _Replays:
    """One kept forward, and the baselines of the replays from it."""

    def __init__(self, bench: Bench, kept: Kept) -> None:
        self._bench = bench
        self._kept = kept
        self._baselines: dict[tuple[int, int], Sums] = {}

    def of(self, one: Intervention) -> tuple[Sums, Sums, list[bool]]:
        """Each row's sums without and with the edit, and whether any of its features is active.

        Every row of the batch is replayed, so that the geometry stays the baseline's; where no
        feature is active in any row, none is. An inactive row's impact is exactly zero.
        """
        batch, kept = self._kept.batch, self._kept
        positions = where(batch, one.positions)
        edits: dict[int, Sae] = {}
        active = torch.zeros_like(positions)
        for layer, features in one.by_layer().items():
            index = torch.tensor(features, device=positions.device)
            edits[layer] = self._bench.saes(layer).only(index)
            active |= (encode(edits[layer], kept.residuals[layer]) > 0).any(-1) & positions
        fired = active.any(1).tolist()
        if not any(fired):
            sums = _sums(kept.answers)
            return sums, sums, fired
        first = int(active.any(0).nonzero()[0])
        start = min(first, batch.earliest) // STEP * STEP
        block, *later = edits
        cut = positions[:, start:]
        value = None if one.role == "no-op" else 0.0

        def edit(layer: int) -> "_Edit":
            return _Edit(edits[layer], cut, value)

        unedited = self._baseline(block, start)
        edited = _sums(
            self._bench.model.replay(
                kept,
                block,
                edit(block)(kept.residuals[block][:, start:]),
                {layer: edit(layer) for layer in later},
            )
        )
        if one.role != "no-op":
            # A no-op is held to be exact by computation, an inactive row by definition.
            edited = [
                row if changed else same
                for row, same, changed in zip(edited, unedited, fired, strict=True)
            ]
        return unedited, edited, fired

    def _baseline(self, block: int, start: int) -> Sums:
        """The unedited sums in the geometry of a replay from this block and column."""
        if start == 0:
            return _sums(self._kept.answers)  # the same shapes in every block that is replayed
        key = (block, start)
        if key not in self._baselines:
            residual = self._kept.residuals[block][:, start:]
            answers = self._bench.model.replay(self._kept, block, residual)
            self._baselines[key] = _sums(answers)
        return self._baselines[key]


class _Edit:
    """A tap that sets the features of an SAE to a value at some positions."""

    def __init__(self, sae: Sae, positions: Tensor, value: float | None) -> None:
        self._sae, self._positions, self._value = sae, positions, value

    def __call__(self, residual: Tensor) -> Tensor:
        return move(self._sae, residual, self._positions, self._value)


def _sums(answers: Answers) -> Sums:
    """Each answer's log-probability, its tokens summed in float64."""
    return [[float(answer.double().sum()) for answer in row] for row in answers]
