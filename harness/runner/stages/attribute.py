"""Predict the effect of removing each feature, for every feature of every layer in a few passes.

-sum f * (dM/dx . W_dec) over the edited positions: the first-order effect on the metric M of setting
f to 0. `gradient` takes the slope where the model is (attribution patching, Syed et al. 2023,
arXiv:2310.10348). `integrated-gradients` averages it while all features of the layer grow together
from 0 to their values (Sundararajan et al. 2017, arXiv:1703.01365; on SAE features Marks et al. 2024,
arXiv:2403.19647): its predictions add up to the effect of removing all of them. Both are blind to
inactive features and to the jump at the threshold, so they rank features and never conclude.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.models.adaptive_batching import each
from harness.models.forward import Tap
from harness.models.logprobs import token_logprobs
from harness.models.padded_batch import where
from harness.models.prompt_rows import Rows, cached_forward
from harness.models.suffix import tail_of
from harness.runner.context import Bench
from harness.sae.jumprelu import encode
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.base import Columns
from harness.store.tables.observations import Attributions


@dataclass(frozen=True)
class Slopes:
    """The metric's slope at the edited positions of one layer.

    `residual` and `slope` are (positions, width), and `row` (positions,) says whose they are.
    """

    residual: Tensor
    slope: Tensor
    row: Tensor


def attribute(
    bench: Bench,
    plan: Plan,
    ablation: Ablation,
    prompts: Sequence[Prompt],
    features: Collection[Feature] | None = None,
) -> list[Columns]:
    """Per family the predicted change of the metric, in nats summed over its prompts.

    For every feature that is active at an edited position, or for those of `features` alone.
    """
    rows = Rows(bench.model, prompts)
    families = sorted({prompt.family for prompt in prompts})
    owner = torch.zeros(len(rows.tokens), dtype=torch.long)
    for prompt in prompts:
        owner[rows.row(prompt)] = families.index(prompt.family)
    measure = _Metric(rows, prompts)
    found: list[Columns] = []
    for layer, slopes in _slopes(bench, plan, ablation, rows, measure):
        sae = bench.saes(layer)
        predicted = torch.zeros(len(families), sae.features, device=sae.w_enc.device)
        for part in slopes:
            effects = -encode(sae, part.residual) * (part.slope.float() @ sae.w_dec.T)
            predicted.index_add_(0, owner.to(part.row.device)[part.row], effects)
        if features is not None:
            wanted = torch.zeros(sae.features, dtype=torch.bool, device=predicted.device)
            wanted[[feature for of, feature in features if of == layer]] = True
            predicted *= wanted
        found.append(_columns(bench, ablation, families, layer, predicted))
    return found


class _Metric:
    """The sum of the prompts' metrics, from the log-probabilities of their candidates' tokens."""

    def __init__(self, rows: Rows, prompts: Sequence[Prompt]) -> None:
        self._weights: dict[tuple[int, int], float] = defaultdict(float)
        for prompt in prompts:
            for label, answer in rows.candidates(prompt).items():
                self._weights[rows.row(prompt), answer] += 1.0 if label == "correct" else -1.0

    def __call__(self, scores: Tensor, answer: Tensor, row: Sequence[int]) -> Tensor:
        """Of scores (n, tokens) that belong to `answer` (n, tokens) of these rows."""
        weights = torch.tensor(
            [
                [self._weights[of, a] if a >= 0 else 0.0 for a in answers]
                for of, answers in zip(row, answer.tolist(), strict=True)
            ],
            device=scores.device,
        )
        return (weights * scores.nan_to_num()).sum()


def _slopes(
    bench: Bench, plan: Plan, ablation: Ablation, rows: Rows, measure: _Metric
) -> Iterator[tuple[int, Sequence[Slopes]]]:
    """Every layer's slopes, one layer after the other."""
    # A backward pass holds the activations of every block: fewer rows fit than in a forward.
    most = max(1, bench.limit.asked // 4)
    if ablation.select.method == "gradient":
        found: dict[int, list[Slopes]] = {layer: [] for layer in plan.layers}

        def of_all(chosen: list[int]) -> Mapping[int, Slopes]:
            return _local(bench, plan, ablation, rows, chosen, measure)

        for _, seen in each(bench.limit, rows.tokens, of_all, most):
            for layer, slopes in seen.items():
                found[layer].append(slopes)
        yield from found.items()
        return
    for layer in plan.layers:

        def along(chosen: list[int], layer: int = layer) -> Slopes:
            return _along_the_path(bench, ablation, rows, chosen, measure, layer)

        yield layer, [slopes for _, slopes in each(bench.limit, rows.tokens, along, most)]


def _local(
    bench: Bench,
    plan: Plan,
    ablation: Ablation,
    rows: Rows,
    chosen: list[int],
    measure: _Metric,
) -> Mapping[int, Slopes]:
    """The slope where the model is, at every layer, in one forward and backward."""
    batch = bench.model.batch([rows.tokens[i] for i in chosen])
    seen: dict[int, Tensor] = {}
    answers = bench.model.forward(
        batch, {layer: _watch(seen, layer) for layer in plan.layers}, gradients=True
    )
    flat = [
        (i, a, found) for i, row in zip(chosen, answers, strict=True) for a, found in enumerate(row)
    ]
    total = torch.stack(
        [measure(found[None], torch.full((1, len(found)), a), [i]) for i, a, found in flat]
    ).sum()
    total.backward()
    positions = where(batch, ablation.positions)
    row = torch.tensor(chosen, device=positions.device)[positions.nonzero()[:, 0]]
    return {layer: _at(residual, positions, row) for layer, residual in seen.items()}


def _along_the_path(
    bench: Bench,
    ablation: Ablation,
    rows: Rows,
    chosen: list[int],
    measure: _Metric,
    layer: int,
) -> Slopes:
    """The mean slope while the layer's features grow, at the midpoints of equal steps."""
    sae, steps = bench.saes(layer), ablation.select.steps
    baseline = cached_forward(bench.model, [rows.tokens[i] for i in chosen], [layer])
    batch = baseline.batch
    positions = where(batch, ablation.positions)
    first = torch.zeros(len(batch), dtype=torch.long, device=positions.device)
    tail = tail_of(batch, baseline.reads, torch.arange(len(batch), device=first.device), first)
    residual, edited = tail.of(baseline.residuals[layer]), tail.of(positions)
    explained = (encode(sae, residual) @ sae.w_dec) * edited[..., None]
    slope = torch.zeros_like(residual, dtype=torch.float32)
    for step in range(steps):
        left = 1 - (step + 0.5) / steps
        leaf = (residual.float() - left * explained).to(residual.dtype).requires_grad_()
        logprobs = bench.model.replay(baseline, tail, layer, leaf, gradients=True)
        scores = token_logprobs(logprobs, baseline.reads, tail.row)
        measure(scores, baseline.reads.answer, chosen).backward()
        assert leaf.grad is not None
        slope += leaf.grad.float() / steps
    row = torch.tensor(chosen, device=edited.device)[edited.nonzero()[:, 0]]
    return Slopes(residual[edited], slope[edited], row)


def _watch(seen: dict[int, Tensor], layer: int) -> Tap:
    """A tap that keeps the residual stream, and its gradient once there is one."""

    def tap(residual: Tensor) -> Tensor:
        # No weight asks for a gradient: the graph begins at the first block that is watched.
        kept = residual.requires_grad_() if residual.is_leaf else residual
        kept.retain_grad()
        seen[layer] = kept
        return kept

    return tap


def _at(residual: Tensor, positions: Tensor, row: Tensor) -> Slopes:
    assert residual.grad is not None
    return Slopes(residual.detach()[positions], residual.grad[positions], row)


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
