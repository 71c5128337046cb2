"""Edits of features of a random dictionary in the place of a target's, and how large edits are on average."""

from dataclasses import replace

import torch
from torch import Tensor

from harness.interventions.layer_edits import LayerEdits, make_layer_edits
from harness.sae import Sae
from harness.sae.encoding import scale_written
from harness.sae.precise import double
from harness.specs.intervention import Intervention

POSITIONS = 4096  # that are edited together


def random_edits(
    sae: Sae, layer: int, edit: Intervention, means: tuple[float, ...], factor: float = 1.0
) -> LayerEdits:
    """What a target's kind of edit does of all features of `sae`, times `factor`, at one layer.

    `edit` is the baseline's; `means` are what its features are set to by a mean ablation.
    """
    values = means if edit.kind == "mean" else edit.values[:1] * sae.features
    features = tuple((layer, i) for i in range(sae.features))
    own = replace(edit, role="target", baseline=None, features=features, values=values)
    made = make_layer_edits(sae, layer, [own])
    return replace(made, sae=replace(made.sae, w_dec=made.sae.w_dec * factor))


def mean_size(edits: LayerEdits, held: Tensor) -> float:
    """How far the first intervention moves what a site holds, (n_positions, held width), on average."""
    first = torch.zeros(1, dtype=torch.long, device=held.device)
    edit = edits.edit(first, identity=first > 0)
    total = 0.0
    for some in held.split(POSITIONS):
        delta = double(edit.delta(some[None]))
        scale = scale_written(edits.sae, some[None])
        if scale is not None:
            delta = delta * double(scale)
        total += float(delta.norm(dim=-1).sum())
    return total / len(held)
