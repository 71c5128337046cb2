"""What every feature does where an ablation edits: how often it fires there, and how strongly.

Controls are alike in this. Rows of `edit_activity`, a table a layer with one row a feature that fires
there at all, or that the ablation has from another eval.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.models.adaptive_batching import ENCODED, split_by_length
from harness.models.padded_batch import Tokens
from harness.models.prompt_rows import PromptRows
from harness.runner.checkpoint import UNKEPT, Checkpoint
from harness.runner.context import RunContext
from harness.runner.residual_streams import held_streams
from harness.sae import Sae, encode
from harness.sae.precise import double, on_precise, total
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
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
    plan: Plan,
    ablation: Ablation,
    prompts: Sequence[Prompt],
    *,
    also: Collection[Feature] = (),
    together: int = 64,
    checkpoint: Checkpoint = UNKEPT,
) -> list[Columns]:
    """The features' activity at the edited positions of these prompts, which are of the edited variant.

    What features are set to their mean over, the other variant's prompts as well, is read where the edit
    needs it; features that are edited `also` where they never fire have rows too. So many rows `together`
    are held until every SAE has seen them, and the sums so far are kept
    in the `checkpoint`. Raises `CannotRun` where NaN or infinity arises.
    """
    variants = [list(prompts)]
    if ablation.kind == "mean":
        pairs = {prompt.pair_id for prompt in prompts}
        variants.append(
            [p for p in plan.prompts if p.pair_id in pairs and p.label != ablation.variant]
        )
    work = [
        (number, [rows[i] for i in chosen])
        for number, some in enumerate(variants)
        for rows in [PromptRows(context.model, some).tokens]
        for chosen in split_by_length(rows, together)
    ]
    kept = checkpoint.load()
    sums = {
        (number, layer): _restored(context, kept, number, layer)
        for number in range(len(variants))
        for layer in plan.layers
    }
    for done in range(int(kept.get("groups", 0)), len(work)):
        number, group = work[done]
        _add(context, ablation, {layer: sums[number, layer] for layer in plan.layers}, group)
        context.heard(done + 1, len(work))
        if checkpoint.is_due():
            states = {
                f"{number} {layer} {name}": value
                for (number, layer), one in sums.items()
                for name, value in one.state().items()
            }
            checkpoint.save(states | {"groups": done + 1})
    return [
        _columns(
            context, ablation, layer, [sums[number, layer] for number in range(len(variants))], also
        )
        for layer in plan.layers
    ]


def _restored(context: RunContext, kept: dict[str, Any], number: int, layer: int) -> _Firing:
    firing, head = _Firing(context.saes(layer)), f"{number} {layer} "
    state = {key.removeprefix(head): one for key, one in kept.items() if key.startswith(head)}
    if state:
        firing.restore(state)
    return firing


def _add(
    context: RunContext, ablation: Ablation, sums: dict[int, _Firing], rows: Sequence[Tokens]
) -> None:
    for streams in held_streams(context, list(sums), rows, ablation.positions):
        for layer, stream in streams.items():
            sae = context.saes(layer)
            most = min(ENCODED, context.limit.positions(sae.features))
            sums[layer].add(sae, stream, most)


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
