"""Predict the effect of removing each feature, for every feature of every layer in a few passes.

-sum f * (dM/dx . W_dec) over the edited positions: the first-order effect on the metric M of setting
f to 0. `gradient` takes the slope where the model is (attribution patching, Syed et al. 2023,
arXiv:2310.10348). `integrated-gradients` averages it while all features of the layer grow together
from 0 to their values (Sundararajan et al. 2017, arXiv:1703.01365; on SAE features Marks et al. 2024,
arXiv:2403.19647): its predictions add up to the effect of removing all of them. Both are blind to
inactive features and to the jump at the threshold, so they rank features and never conclude.

What the SAE does not reconstruct is a node beside the features (the error nodes of Marks et al.): the same
slope times x - sae(x) says what of the predicted effect no feature of the layer can account for.

Rows of `attributions`, a table a layer with one row a family and feature that is predicted to do
anything; and of `attribution_errors`, a row a layer and family.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from harness.models.adaptive_batching import map_batches
from harness.models.forward_types import Tap
from harness.models.logprobs import token_logprobs
from harness.models.padded_batch import positions_of, reads_of, rows_of
from harness.models.prompt_rows import PromptRows, cached_forward
from harness.models.suffix import suffix_of
from harness.models.transfer import send
from harness.runner.context import RunContext
from harness.runner.predicted_effects import LayerEffects, Slopes
from harness.sae import encode
from harness.sae.encoding import scale_written, with_written, written_part
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.specs.metrics import attributed
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns


def attribute(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    prompts: Sequence[Prompt],
    features: Collection[Feature] | None = None,
) -> list[Columns]:
    """Per family the predicted change of the metric, in nats summed over its prompts.

    For every feature that is active at an edited position, or for those of `features` alone.
    """
    rows = PromptRows(context.model, prompts)
    families = sorted({prompt.family for prompt in prompts})
    family_of_row = torch.zeros(len(rows.tokens), dtype=torch.long)
    for prompt in prompts:
        family_of_row[rows.row(prompt)] = families.index(prompt.family)
    measure = _Metric(rows, prompts, attributed(plan.spec.metric))
    tables: list[Columns] = []
    for layer, slopes in _slopes(context, plan, ablation, rows, measure):
        effects = LayerEffects(context.saes(layer), families)
        for part in slopes:
            effects.add(context, part, family_of_row[part.row])
        shown = None if features is None else [one for of, one in features if of == layer]
        tables += effects.tables(context, ablation, layer, shown)
    return tables


class _Metric:
    """The sum of the prompts' metrics, from the log-probabilities of their candidates' tokens.

    Positive toward the answer of `correct`, whichever of its answers the metric is about.
    """

    def __init__(self, rows: PromptRows, prompts: Sequence[Prompt], metric: str) -> None:
        # By row: each candidate that counts, as the answers that are its members, and its weight.
        self._terms: dict[int, dict[tuple[int, ...], int]] = defaultdict(lambda: defaultdict(int))
        for prompt in prompts:
            for label, answers in rows.candidates(prompt).items():
                if metric in ("logit_difference", f"log_p_{label}"):
                    sign = 1 if label == "correct" else -1
                    self._terms[rows.row(prompt)][answers] += sign

    def __call__(self, scores: Tensor, answer: Tensor, row: Sequence[int]) -> Tensor:
        """Of scores (n, tokens) that belong to `answer` (n, tokens) of these rows."""
        terms = [
            (i, members, weight)
            for i, of in enumerate(row)
            for members, weight in self._terms[of].items()
        ]
        most = int(answer.max()) + 1
        counted = torch.zeros(len(terms), most, dtype=torch.bool)
        for at, (_, members, _) in enumerate(terms):
            counted[at, list(members)] = True
        # As tensors of all terms: what picks tokens one by one makes the host wait for each.
        of_token, of_term, at_row, weights = send(
            scores.device,
            answer[:, :, None] == torch.arange(most),
            counted,
            torch.tensor([i for i, _, _ in terms], dtype=torch.long),
            torch.tensor([weight for _, _, weight in terms], dtype=torch.long),
        )
        sums = (scores.nan_to_num()[:, :, None] * of_token).sum(1)
        # Through the log of the summed probability: each member of a set by its share of it.
        answered = sums[at_row].masked_fill(~of_term, -torch.inf).logsumexp(-1)
        return (weights * answered).sum()


def _slopes(
    context: RunContext, plan: Plan, ablation: Ablation, rows: PromptRows, measure: _Metric
) -> Iterator[tuple[int, Sequence[Slopes]]]:
    """Every layer's slopes, one layer after the other."""
    # A backward pass holds the activations of every block: fewer rows fit than in a forward.
    most = max(1, context.limit.asked // 4)
    if ablation.select.method == "gradient":
        by_layer: dict[int, list[Slopes]] = {layer: [] for layer in plan.layers}

        def of_all_layers(chosen: list[int]) -> Mapping[int, Slopes]:
            return _local(context, plan, ablation, rows, chosen, measure)

        for _, slopes in context.batches(rows.tokens, of_all_layers, most):
            for layer, part in slopes.items():
                by_layer[layer].append(part)
        yield from by_layer.items()
        return
    for layer in plan.layers:

        def of_layer(chosen: list[int], layer: int = layer) -> Slopes:
            return _along_the_path(context, ablation, rows, chosen, measure, layer)

        batches = map_batches(context.limit, rows.tokens, of_layer, most)
        yield layer, [part for _, part in batches]
        context.heard(plan.layers.index(layer) + 1, len(plan.layers))


def _local(
    context: RunContext,
    plan: Plan,
    ablation: Ablation,
    rows: PromptRows,
    chosen: list[int],
    measure: _Metric,
) -> Mapping[int, Slopes]:
    """The slope where the model is, at every layer, in one forward and backward."""
    batch = context.model.batch([rows.tokens[i] for i in chosen])
    reads = reads_of(batch)
    streams: dict[int, Tensor] = {}
    taps = {layer: _watch(streams, layer) for layer in plan.layers}
    scores = context.model.token_scores(batch, reads, taps, gradients=True)
    measure(scores, reads.answer, chosen).backward()
    positions = positions_of(batch, ablation.positions)
    at = send(context.model.device, *positions.nonzero(as_tuple=True))
    whose = rows_of(positions, chosen)
    return {
        layer: Slopes(residual.detach()[at], _slope_of(residual)[at], whose)
        for layer, residual in streams.items()
    }


def _along_the_path(
    context: RunContext,
    ablation: Ablation,
    rows: PromptRows,
    chosen: list[int],
    measure: _Metric,
    layer: int,
) -> Slopes:
    """The mean slope while the layer's features grow, at the midpoints of equal steps."""
    sae, steps = context.saes(layer), ablation.select.steps
    cached = cached_forward(context.model, [rows.tokens[i] for i in chosen], [layer])
    row = torch.arange(len(chosen))
    suffix = suffix_of(cached.batch, cached.reads, row, torch.zeros_like(row))
    held = suffix.on(context.model.device).of(cached.held[layer])
    edited = suffix.of(positions_of(cached.batch, ablation.positions))
    at = send(held.device, *edited.nonzero(as_tuple=True))
    explained = torch.zeros_like(written_part(sae, held), dtype=torch.float32)
    most = context.limit.positions(sae.features)
    for where in zip(at[0].split(most), at[1].split(most), strict=True):
        scale = scale_written(sae, held[where])
        moved = encode(sae, held[where]) @ sae.w_dec
        explained[where] = moved if scale is None else moved * scale
    slope = torch.zeros_like(held, dtype=torch.float32)
    for step in range(steps):
        missing = 1 - (step + 0.5) / steps
        written = written_part(sae, held).float() - missing * explained
        leaf = with_written(sae, held, written).requires_grad_()
        logprobs = context.model.replay(cached, suffix, layer, leaf, gradients=True)
        scores = token_logprobs(logprobs, cached.reads, suffix.row)
        measure(scores, cached.reads.answer, chosen).backward()
        slope += _slope_of(leaf).float() / steps
    return Slopes(held[at], slope[at], rows_of(edited, chosen))


def _watch(streams: dict[int, Tensor], layer: int) -> Tap:
    """A tap that keeps the residual stream, and its gradient once there is one."""

    def tap(residual: Tensor) -> Tensor:
        # No weight asks for a gradient: the graph begins at the first block that is watched.
        watched = residual.requires_grad_() if residual.is_leaf else residual
        watched.retain_grad()
        streams[layer] = watched
        return watched

    return tap


def _slope_of(stream: Tensor) -> Tensor:
    """The gradient that a backward pass left at a stream, of its shape."""
    assert stream.grad is not None
    return stream.grad
