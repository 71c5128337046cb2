"""Predict the effect of removing each feature, for every feature in one forward and backward.

-sum f * (dM/dx . W_dec) over the edited positions: the first-order effect on the metric M of setting
f to 0 (Syed et al. 2023, attribution patching). It is blind to inactive features and to the jump at
the threshold, so it ranks features and never concludes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness.batch import where
from harness.plan import Plan
from harness.records import Attributions, Columns, Prompt
from harness.sae.jumprelu import encode
from harness.spec import Ablation
from harness.work import Bench, Rows, Tap, batches


def attribute(
    bench: Bench, plan: Plan, ablation: Ablation, prompts: Sequence[Prompt]
) -> list[Columns]:
    """Per family the predicted change of the metric, in nats summed over its prompts."""
    rows = Rows(bench.model, prompts)
    families = sorted({prompt.family for prompt in prompts})
    weights = _weights(rows, prompts)
    owner = torch.zeros(len(rows.tokens), dtype=torch.long)
    for prompt in prompts:
        owner[rows.row(prompt)] = families.index(prompt.family)
    predicted: dict[int, Tensor] = {}
    for chosen, batch in batches(bench.model, rows.tokens, bench.batch_size):
        seen: dict[int, Tensor] = {}
        taps = {layer: _watch(seen, layer) for layer in plan.layers}
        answers = bench.model.forward(batch, taps, gradients=True)
        total = torch.zeros((), device=bench.model.device)
        for found, row in zip(answers, chosen, strict=True):
            for answer, weight in zip(found, weights[row], strict=True):
                total = total + weight * answer.sum()
        total.backward()
        positions = where(batch, ablation.positions)
        at = positions.nonzero()[:, 0]
        for layer, residual in seen.items():
            sae = bench.saes(layer)
            assert residual.grad is not None
            values = encode(sae, residual.detach()[positions])
            slope = residual.grad[positions].float() @ sae.w_dec.T
            per_row = torch.zeros(len(batch), sae.features, device=values.device)
            per_row.index_add_(0, at, -values * slope)
            sums = predicted.setdefault(layer, per_row.new_zeros(len(families), sae.features))
            sums.index_add_(0, owner[chosen].to(sums.device), per_row)
    return [_columns(bench, ablation, families, layer, found) for layer, found in predicted.items()]


def _watch(seen: dict[int, Tensor], layer: int) -> Tap:
    """A tap that keeps the residual stream, and its gradient once there is one."""

    def tap(residual: Tensor) -> Tensor:
        # No weight asks for a gradient: the graph begins at the first block that is watched.
        kept = residual.requires_grad_() if residual.is_leaf else residual
        kept.retain_grad()
        seen[layer] = kept
        return kept

    return tap


def _weights(rows: Rows, prompts: Sequence[Prompt]) -> list[list[float]]:
    """How much each answer of each row counts in the sum of the prompts' metrics."""
    weights = [[0.0] * len(tokens.answers) for tokens in rows.tokens]
    for prompt in prompts:
        for label, answer in rows.candidates(prompt).items():
            weights[rows.row(prompt)][answer] += 1.0 if label == "correct" else -1.0
    return weights


def _columns(
    bench: Bench, ablation: Ablation, families: Sequence[str], layer: int, predicted: Tensor
) -> Attributions:
    family, feature = (index.cpu().numpy() for index in predicted.nonzero(as_tuple=True))
    size = len(family)
    return Attributions(
        run_id=[bench.run_id] * size,
        ablation=[ablation.name] * size,
        family=np.array(families)[family],
        layer=np.full(size, layer),
        feature=feature,
        predicted=predicted.cpu().numpy()[family, feature],
        origin=[bench.origin] * size,
    )
