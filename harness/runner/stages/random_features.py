"""What the same selection finds in a random dictionary: the features of an ablation's `random-sae`.

Rows of `random_features`, a table a layer that the target edits. They are frozen here, and nothing of the
confirming families decides them; their directions are drawn anew from the seed wherever they are needed.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from harness.analysis.random_selection import RandomScores, best_random, random_scores
from harness.analysis.units import units_of
from harness.errors import CannotRun, Fault
from harness.interventions.layer_edits import LayerEdits, make_layer_edits
from harness.interventions.random_edits import mean_size, random_edits
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.readouts import Readout, read
from harness.runner.residual_streams import HELD_BYTES, held_streams
from harness.sae import Sae, encode
from harness.sae.random_features import (
    BLOCK,
    random_blocks,
    random_features,
    thresholds_of,
    with_thresholds,
)
from harness.specs.ablations import Ablation
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import Pair, Prompt, pairs_of
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import RandomFeatures


@dataclass(frozen=True)
class _Place:
    """A layer of an ablation: its trained dictionary, the seed of its random one, the edited positions.

    `held` is the edited variant's (n_positions, held width), and `both` that of both variants.
    """

    layer: int
    sae: Sae
    seed: int
    held: Tensor
    both: Tensor


def find_random_features(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    edit: Intervention,
    target: Intervention,
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """The features of the baseline `edit` at each layer that the `target` edits, and their factor.

    Of the pairs of these prompts, which are of the edited variant. Raises `CannotRun` where NaN or infinity
    arises, or where no random feature qualifies.
    """
    ids = {prompt.pair_id for prompt in prompts}
    pairs = pairs_of([prompt for prompt in plan.prompts if prompt.pair_id in ids])
    both = [pair.correct for pair in pairs] + [pair.misconception for pair in pairs]
    rows = PromptRows(context.model, both)
    silent = replace(context, heard=lambda *_: None)
    _, readout = read(silent, rows, plan.spec.readout.at, target.layers, both)
    features = Counter(layer for layer, _ in target.features)
    found: list[Columns] = []
    for layer in target.layers:
        place = _place(context, plan, ablation, layer, both)
        scores, thresholds, rates = _scored(context, plan, ablation, place, readout, pairs)
        chosen, own = best_random(ablation, scores, features[layer])
        if not len(chosen):
            raise CannotRun(_none(plan, ablation, f"no random feature of layer {layer} qualifies"))
        some = random_features(place.sae, place.seed, chosen.tolist(), thresholds[chosen])
        means = encode(some, place.both).double().mean(0).cpu().numpy()
        size = mean_size(make_layer_edits(place.sae, layer, [target]), place.held)
        unscaled = mean_size(random_edits(some, layer, edit, tuple(means.tolist())), place.held)
        if not unscaled:
            what = f"the random features of layer {layer} would be edited by nothing"
            raise CannotRun(_none(plan, ablation, what))
        found.append(
            RandomFeatures.filled(
                run_id=context.run_id,
                ablation=ablation.name,
                layer=layer,
                rank=np.arange(len(chosen)),
                feature=chosen,
                score=own,
                threshold=thresholds[chosen].double().cpu().numpy(),
                firing_rate=rates[chosen],
                mean_value=means if ablation.kind == "mean" else None,
                factor=size / unscaled,
                edit_size=size,
                origin=context.origin,
            )
        )
        context.heard(len(found), len(target.layers))
    return found


def edits_of(
    context: RunContext, plan: Plan, ablation: Ablation, edit: Intervention, rows: RandomFeatures
) -> Mapping[int, LayerEdits]:
    """The edits of the stored features of a `random-sae`, by layer."""
    found = {}
    layers = np.asarray(rows.layer)
    for layer in edit.layers:
        there = np.flatnonzero(layers == layer)
        at = there[np.argsort(np.asarray(rows.rank)[there])].tolist()
        own = [int(rows.feature[i]) for i in at]
        thresholds = torch.tensor([float(rows.threshold[i]) for i in at])
        sae = random_features(context.saes(layer), _seed(plan, ablation, layer), own, thresholds)
        means: tuple[float, ...] = ()
        if edit.kind == "mean":
            means = tuple(float(rows.mean_value[i]) for i in at)
        found[layer] = random_edits(sae, layer, edit, means, float(rows.factor[at[0]]))
    return found


def _seed(plan: Plan, ablation: Ablation, layer: int) -> int:
    name = f"{plan.spec.split.seed}/random-sae/{ablation.name}/{layer}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _none(plan: Plan, ablation: Ablation, what: str) -> Fault:
    place = f"{plan.spec.name}, ablation {ablation.name}"
    return Fault(place, what, "take more discovery prompts, or drop random-sae from `baselines`")


def _place(
    context: RunContext, plan: Plan, ablation: Ablation, layer: int, prompts: Sequence[Prompt]
) -> _Place:
    edited = [prompt for prompt in prompts if prompt.label == ablation.variant]
    held = _held(context, layer, edited, ablation)
    both = held
    if ablation.kind == "mean":
        other = [prompt for prompt in prompts if prompt.label != ablation.variant]
        both = torch.cat([held, _held(context, layer, other, ablation)])
    return _Place(layer, context.saes(layer), _seed(plan, ablation, layer), held, both)


def _held(context: RunContext, layer: int, prompts: Sequence[Prompt], ablation: Ablation) -> Tensor:
    """What the layer's site holds at the edited positions: every one, or every second, fourth, ..."""
    rows = PromptRows(context.model, prompts).tokens
    found = None
    step, seen = 1, 0
    for streams in held_streams(context, [layer], rows, ablation.positions):
        part = streams[layer][-seen % step :: step]
        seen += len(streams[layer])
        found = part if found is None else torch.cat([found, part])
        while found.nbytes > HELD_BYTES:
            found, step = found[::2].clone(), 2 * step
    assert found is not None
    return found


def _scored(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    place: _Place,
    readout: Readout,
    pairs: Sequence[Pair],
) -> tuple[RandomScores, Tensor, np.ndarray]:
    """Of every random feature its scores, its threshold, and how often it fires, (n_features,) each."""
    units = units_of(plan, [pair.family for pair in pairs], plan.spec.cluster)
    active = _active(context, place)
    scores: list[RandomScores] = []
    thresholds, rates = [], []
    for some, block in random_blocks(place.sae, place.seed):
        values = encode(block, place.held)
        threshold = thresholds_of(values, active[some])
        own = with_thresholds(block, threshold)
        rates.append((values > threshold).double().mean(0).cpu().numpy())
        thresholds.append(threshold.cpu())
        at_readout = np.zeros((2 * len(pairs), block.features))
        most = context.limit.positions(BLOCK)
        how = plan.spec.readout.reduce
        for prompt, feature, value in readout.features(place.layer, own, how, most):
            at_readout[prompt, feature] = value
        lengths = own.w_dec.norm(dim=1).double().cpu().numpy() * (rates[-1] > 0)
        correct, misconception = at_readout[: len(pairs)], at_readout[len(pairs) :]
        statistic = plan.spec.contrast.statistic
        scores.append(random_scores(ablation, misconception, correct, units, statistic, lengths))
    together = RandomScores(
        np.concatenate([one.first for one in scores]),
        np.concatenate([one.second for one in scores]),
    )
    return together, torch.cat(thresholds), np.concatenate(rates)


def _active(context: RunContext, place: _Place) -> Tensor:
    """At how many of the edited positions each trained feature is active, (n_features,)."""
    total = torch.zeros(place.sae.features, dtype=torch.long, device=place.held.device)
    for some in place.held.split(context.limit.positions(place.sae.features)):
        total += (encode(place.sae, some) > 0).sum(0)
    return total
