"""Replay prompts with features removed, and measure what that does to the answers."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from harness.batch import Batch, where
from harness.edits import is_active, move
from harness.faults import CannotRun, Fault
from harness.interventions import Intervention
from harness.measures import measures
from harness.records import Columns, Impacts, Label, Prompt
from harness.sae.jumprelu import Sae
from harness.work import Bench, Rows, batches


def intervene(
    bench: Bench, interventions: Sequence[Intervention], prompts: Sequence[Prompt]
) -> list[Columns]:
    """The impact of every intervention on every metric of every prompt, in nats.

    Raises `CannotRun` where a no-op changes anything: then the hardware's arithmetic depends on more
    than the numbers, and no difference measured on it is the edit's alone.
    """
    rows = Rows(bench.model, prompts)
    baseline: dict[int, float] = {}
    edited: dict[tuple[str, int], tuple[float, bool]] = {}
    layers = sorted({layer for one in interventions for layer, _ in one.features})
    for chosen, batch in batches(bench.model, rows.tokens, bench.batch_size):
        seen: dict[int, Tensor] = {}

        def look(layer: int, residual: Tensor, seen: dict[int, Tensor] = seen) -> None:
            seen[layer] = residual

        answers = bench.model.forward(batch, {layer: partial(look, layer) for layer in layers})
        sums = [float(answer.double().sum()) for answer in answers]
        baseline |= dict(zip(chosen, sums, strict=True))
        for one in interventions:
            values, active = _replay(bench, one, batch, seen, sums)
            edited |= {
                (one.id, i): (value, fired)
                for i, value, fired in zip(chosen, values, active, strict=True)
            }
    impacts = []
    for one in interventions:
        for prompt in prompts:
            candidates = rows.candidates(prompt)
            before = measures({label: baseline[row] for label, row in candidates.items()})
            found: dict[Label, tuple[float, bool]] = {
                label: edited[one.id, row] for label, row in candidates.items()
            }
            after = measures({label: value for label, (value, _) in found.items()})
            for metric, value in after.items():
                if one.role == "no-op" and value != before[metric]:
                    raise CannotRun(
                        Fault(
                            f"prompt {prompt.id}",
                            f"an edit that changes nothing changed {metric} by "
                            f"{value - before[metric]:.3g}",
                            "use deterministic kernels, another device or another dtype",
                        )
                    )
                impacts.append(
                    {
                        "run_id": bench.run_id,
                        "intervention_id": one.id,
                        "prompt_id": prompt.id,
                        "metric": metric,
                        "baseline": before[metric],
                        "edited": value,
                        "impact": value - before[metric],
                        "active": any(fired for _, fired in found.values()),
                        "origin": bench.origin,
                    }
                )
    return [Impacts.of(impacts)]


def _replay(
    bench: Bench,
    one: Intervention,
    batch: Batch,
    seen: Mapping[int, Tensor],
    sums: Sequence[float],
) -> tuple[list[float], list[bool]]:
    """Each row's summed answer log-probability under the edit, and whether it edits anything.

    Blocks up to the first edited one are not computed again. Every row of the batch is replayed, so
    that the edited rows keep the baseline's geometry; where no row is active, none is.
    """
    edits: dict[int, Sae] = {}
    positions = where(batch, one.positions)
    active = torch.zeros(len(batch), dtype=torch.bool, device=batch.ids.device)
    for layer, features in one.by_layer().items():
        edits[layer] = bench.saes(layer).only(torch.tensor(features, device=batch.ids.device))
        active |= is_active(edits[layer], seen[layer], positions)
    fired = active.tolist()
    if not any(fired):
        return list(sums), fired
    value = None if one.role == "no-op" else 0.0
    first, *later = edits
    start = move(edits[first], seen[first], positions, value)
    taps = {
        layer: lambda residual, sae=edits[layer]: move(sae, residual, positions, value)
        for layer in later
    }
    answers = bench.model.forward(batch, taps, after=(first, start))
    replayed = [float(answer.double().sum()) for answer in answers]
    # An inactive row is exactly the baseline by definition; a no-op is held to it by computation.
    return [
        value if changed or one.role == "no-op" else before
        for value, changed, before in zip(replayed, fired, sums, strict=True)
    ], fired
