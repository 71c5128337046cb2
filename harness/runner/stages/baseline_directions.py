"""In which direction each baseline of an ablation moves what is edited, by the discovery families alone.

Rows of `baseline_directions`, a table a baseline and layer with one row a dimension that it moves.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from harness.analysis.baseline_directions import baseline_direction
from harness.errors import CannotRun, Fault
from harness.interventions.layer_edits import Directions
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.grouping import together
from harness.runner.readouts import read
from harness.specs.ablations import Ablation
from harness.specs.fields import Baseline
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import BaselineDirections

Floats = NDArray[np.float64]


def baseline_directions(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    target: Intervention,
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """The directions of an ablation's baselines at the layers that its `target` edits.

    They are of the pairs of these prompts, both of whose variants are in the `plan`. Raises `CannotRun` where
    NaN or infinity arises, or the variants are alike at the readout.
    """
    pairs = {prompt.pair_id for prompt in prompts}
    mine = sorted((p for p in plan.prompts if p.pair_id in pairs), key=lambda p: p.pair_id)
    toward = [prompt for prompt in mine if prompt.label == ablation.select.toward]
    other = [prompt for prompt in mine if prompt.label != ablation.select.toward]
    held = _held(context, plan, [*toward, *other], target.layers)
    features = Counter(layer for layer, _ in target.features)
    rows: list[Columns] = []
    for name in ablation.directed:
        for layer, values in held.items():
            of = values[: len(toward)], values[len(toward) :]
            found = baseline_direction(name, *of, features[layer])
            (moved,) = found.nonzero()
            if not len(moved):
                what = f"layer {layer} holds the same at both variants' readout: {name} has no direction"
                place = f"{plan.spec.name}, ablation {ablation.name}"
                remedy = "read where the variants can differ, or drop it from `baselines`"
                raise CannotRun(Fault(place, what, remedy))
            rows.append(
                BaselineDirections.filled(
                    run_id=context.run_id,
                    ablation=ablation.name,
                    baseline=name,
                    layer=layer,
                    dimension=moved,
                    value=found[moved],
                    origin=context.origin,
                )
            )
    return rows


def _held(
    context: RunContext,
    plan: Plan,
    prompts: Sequence[Prompt],
    layers: Sequence[int],
) -> dict[int, Floats]:
    """By layer the mean of what is edited over each prompt's readout, (n_prompts, width written)."""
    most = together(context, "observe")
    silent = replace(context, heard=lambda *_: None)
    parts: dict[int, list[Floats]] = {layer: [] for layer in layers}
    for start in range(0, len(prompts), most):
        some = prompts[start : start + most]
        rows = PromptRows(context.model, some)
        _, readout = read(silent, rows, plan.spec.readout.at, layers, some)
        for layer, found in parts.items():
            found.append(readout.means(layer, context.saes(layer)).cpu().double().numpy())
        context.heard(start + len(some), len(prompts))
    return {layer: np.concatenate(found) for layer, found in parts.items()}


def directions_of(context: RunContext, rows: BaselineDirections) -> Directions:
    """The stored directions of an ablation's baselines, as its edits take them."""
    found: dict[Baseline, dict[int, torch.Tensor]] = defaultdict(dict)
    for name, layer, dimension, value in zip(
        rows.baseline, rows.layer, rows.dimension, rows.value, strict=True
    ):
        at = int(layer)
        if at not in found[name]:
            found[name][at] = torch.zeros(context.saes(at).w_dec.shape[1])
        found[name][at][int(dimension)] = float(value)
    return found
