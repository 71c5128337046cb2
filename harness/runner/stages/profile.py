"""What every feature does where an ablation edits: how often it fires there, and how strongly.

Controls are alike in this. Rows of `edit_activity`, a table a layer with one row a feature that fires
there at all, or that the ablation has from another eval.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.models.adaptive_batching import ENCODED
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.residual_streams import held_streams
from harness.runner.sums import Sums, part_of
from harness.sae import Sae, encode
from harness.sae.precise import double, on_precise, total
from harness.specs.ablations import Ablation
from harness.specs.chat import Chat
from harness.specs.intervention import Feature
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.observations import EditActivity


class _Firing:
    """Sums over positions of one layer and one variant, in float64."""

    def __init__(self, sae: Sae) -> None:
        zeros = torch.zeros(
            sae.features, dtype=torch.float64, device=on_precise(sae.w_enc[:0]).device
        )
        self.positions, self.active, self.total = 0, zeros, zeros.clone()

    def add(self, sae: Sae, stream: Tensor, most: int) -> None:
        for part in stream.float().split(most):
            values = encode(sae, part)
            self.positions += len(part)
            self.active += double((values > 0).sum(0))
            self.total += total(values)

    def state(self) -> dict[str, Any]:
        sums = {"active": self.active.cpu().numpy(), "total": self.total.cpu().numpy()}
        return sums | {"positions": self.positions}

    def restore(self, state: dict[str, Any]) -> None:
        self.positions = int(state["positions"])
        self.active = torch.tensor(state["active"]).to(self.active)
        self.total = torch.tensor(state["total"]).to(self.total)


def profile(
    context: RunContext,
    ablation: Ablation,
    layers: Sequence[int],
    variant: int,
    prompts: Sequence[Prompt],
) -> Sums:
    """The features' sums at the edited positions of prompts of one variant, 0 for the edited one.

    They add up over groups of prompts, of which none has a text of another. Raises `CannotRun` where NaN or
    infinity arises.
    """
    sums = {layer: _Firing(context.saes(layer)) for layer in layers}
    rows = PromptRows(context.model, prompts).tokens
    for streams in held_streams(context, layers, rows, ablation.positions):
        for layer, stream in streams.items():
            sae = context.saes(layer)
            sums[layer].add(sae, stream, min(ENCODED, context.limit.positions(sae.features)))
    return {
        f"{layer} {variant} {name}": value
        for layer, one in sums.items()
        for name, value in one.state().items()
    }


def profile_layer(
    context: RunContext,
    ablation: Ablation,
    layer: int,
    also: Collection[Feature],
    sums: Sums,
) -> list[Columns]:
    """A layer's rows, of its `sums` over the edited variant and, where the edit needs it, the other.

    Features that are edited `also` where they never fire have rows too.
    """
    variants: list[_Firing] = []
    while state := part_of(sums, str(len(variants))):
        variants.append(_Firing(context.saes(layer)))
        variants[-1].restore(state)
    return [_columns(context, ablation, layer, variants, also)]


def in_texts(prompts: Sequence[Prompt], size: int) -> Iterator[tuple[Prompt, ...]]:
    """Prompts of so many texts together, so that those of one text are one row."""
    sharing: dict[str | Chat, list[Prompt]] = {}
    for prompt in prompts:
        sharing.setdefault(prompt.asked, []).append(prompt)
    texts = list(sharing.values())
    for first in range(0, len(texts), size):
        yield tuple(prompt for of_text in texts[first : first + size] for prompt in of_text)


def _columns(
    context: RunContext,
    ablation: Ablation,
    layer: int,
    sums: Sequence[_Firing],
    also: Collection[Feature],
) -> EditActivity:
    """A layer's rows, of the edited variant's sums and, where they are needed, of the other's."""
    edited = sums[0]
    counted = torch.stack([one.active for one in sums]).sum(0)
    counted[[feature for at, feature in also if at == layer]] += 1
    alive = counted.nonzero()[:, 0]

    def pick(values: Tensor) -> Any:
        return values[alive.to(values.device)].cpu().numpy()

    positions = sum(one.positions for one in sums)
    mean = torch.stack([one.total for one in sums]).sum(0) / max(positions, 1)
    return EditActivity.filled(
        run_id=context.run_id,
        ablation=ablation.name,
        layer=layer,
        feature=alive.cpu().numpy(),
        firing_rate=pick(edited.active / max(edited.positions, 1)),
        # Of a feature that the other variant alone fires it is 0.
        mean_activation=pick((edited.total / edited.active).nan_to_num(0.0)),
        mean_value=pick(mean) if ablation.kind == "mean" else None,
        decoder_norm=pick(double(context.saes(layer).w_dec.norm(dim=1))),
        origin=context.origin,
    )
