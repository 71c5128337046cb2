"""Do the SAEs fit the model, on the run's own prompts? And how often does each feature fire?

Rows of `sae_health`, one a layer; and of `feature_activity`, a table a layer with one row a feature that
fires at all.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.models.adaptive_batching import ENCODED, split_by_length, try_again
from harness.models.padded_batch import Tokens
from harness.runner.checkpoint import UNKEPT, Checkpoint
from harness.runner.context import RunContext
from harness.runner.residual_streams import held_streams
from harness.runner.sample_forwards import SampleForward
from harness.runner.site_samples import SiteSamples
from harness.sae import Sae, decode, encode
from harness.sae.encoding import with_written, written_part
from harness.sae.health import Health
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.observations import FeatureActivity, SaeHealth

LOST = 0.5  # share of recovered loss below which an SAE is warned about
SAMPLE = 512  # positions of which losses are taken


def survey(
    context: RunContext,
    plan: Plan,
    prompts: Sequence[Prompt],
    *,
    together: int = 64,
    checkpoint: Checkpoint = UNKEPT,
) -> list[Columns]:
    """Every SAE's health over all prompt positions but BOS, and its features' activity.

    So many texts `together` are held until every SAE has seen them. The sums so far are kept in the
    `checkpoint`. Raises `CannotRun` where NaN or infinity arises.
    """
    texts = list(dict.fromkeys(prompt.asked for prompt in prompts))
    rows = [context.model.tokens(text) for text in texts]
    sample = _sample(rows)
    steps = len(rows) + len(plan.layers) * len(sample)  # a layer's losses are taken on the sample
    so_far = _SoFar(context, checkpoint)
    for chosen in list(split_by_length(rows, together))[so_far.groups :]:
        for streams in held_streams(context, plan.layers, [rows[i] for i in chosen], "prompt"):
            for layer, stream in streams.items():
                sae = context.saes(layer)
                most = min(ENCODED, context.limit.positions(sae.features))
                so_far.health(layer).add(sae, stream, most)
        so_far.groups += 1
        context.heard(min(so_far.groups * together, len(rows)), steps)
        so_far.keep()
    samples = SiteSamples(context, sample)
    unmarked = context.model.lacks_bos
    for layer in plan.layers[len(so_far.lines) :]:
        health = so_far.health(layer)
        so_far.lines.append(
            {
                "run_id": context.run_id,
                "layer": layer,
                "width": context.saes(layer).features,
                "n_prompts": len(texts),
                "n_positions": health.positions,
                **{name: getattr(health, name) for name in ("l0", "fvu", "fvu_median", "dead")},
                **_losses_and_warning(context, layer, samples, unmarked=unmarked),
                "origin": context.origin,
            }
        )
        context.heard(len(rows) + len(so_far.lines) * len(sample), steps)
        so_far.keep()
    return [
        SaeHealth.of(so_far.lines),
        *(_activity(context, layer, so_far.health(layer)) for layer in plan.layers),
    ]


class _SoFar:
    """What a survey has, as its checkpoint keeps it: the sums over `groups` of texts, and `lines`."""

    def __init__(self, context: RunContext, checkpoint: Checkpoint) -> None:
        self._context, self._checkpoint = context, checkpoint
        self._kept = checkpoint.load()
        self._health: dict[int, Health] = {}
        self.groups = int(self._kept.get("groups", 0))
        self.lines: list[dict[str, Any]] = json.loads(str(self._kept.get("lines", "[]")))

    def health(self, layer: int) -> Health:
        """A layer's sums."""
        if layer not in self._health:
            self._health[layer] = Health(self._context.saes(layer))
            head = f"{layer} "
            kept = {k.removeprefix(head): v for k, v in self._kept.items() if k.startswith(head)}
            if kept:
                self._health[layer].restore(kept)
        return self._health[layer]

    def keep(self) -> None:
        """Put it into the checkpoint, where it is time to."""
        if self._checkpoint.is_due():
            for layer, sums in self._health.items():
                self._kept |= {f"{layer} {name}": value for name, value in sums.state().items()}
            self._kept |= {"groups": self.groups, "lines": json.dumps(self.lines)}
            self._checkpoint.save(self._kept)


def _losses_and_warning(
    context: RunContext,
    layer: int,
    samples: SiteSamples,
    *,
    unmarked: bool,
) -> dict[str, Any]:
    """A layer's losses on a sample of rows, and what is wrong there."""
    sae = context.saes(layer)
    loss = losses(context, sae, layer, lambda: samples.forwards)
    warnings = ["the prompts begin without BOS, which the SAE never saw"] if unmarked else []
    if wrong := samples.misfit(sae, layer, loss["loss_recovered"]):
        mocked = context.origin == "mock"
        warnings.append("its directions are random, and reconstruct nothing" if mocked else wrong)
    if loss["loss_recovered"] < LOST:
        warnings.append(
            f"the model's loss on the prompts is {loss['loss_spliced']:.2f} nats a token through "
            f"it, {loss['loss']:.2f} without it: most of what the layer says is lost"
        )
    return {**loss, "warning": "; ".join(warnings) or None}


def losses(
    context: RunContext, sae: Sae, layer: int, forwards: Callable[[], Sequence[SampleForward]]
) -> dict[str, float]:
    """Nats a token of the prompts themselves: as they are, through the SAE alone, and without it.

    `loss_recovered` = (zeroed - spliced) / (zeroed - as it is): the share of what the layer does for
    prediction that passes through the SAE, NaN where the layer does nothing for it. The edits are made
    at every position but BOS of what the `forwards` hold, which are asked for again where memory ran out.
    """

    def sum_losses() -> tuple[list[float], int]:
        some = forwards()
        sums = [sum_of(one) for one in some]
        total = torch.stack(sums).sum(0).tolist() if sums else [0.0] * 3
        return total, sum(one.tokens for one in some)

    def sum_of(forward: SampleForward) -> Tensor:
        held = forward.held(layer)
        written = written_part(sae, held)

        def loss(instead: Tensor) -> Tensor:
            instead = instead.to(held.dtype).where(forward.edited[..., None], written)
            return forward.replayed(layer, with_written(sae, held, instead))

        spliced = decode(sae, encode(sae, held), held)
        return torch.stack([forward.loss, loss(spliced), loss(torch.zeros_like(written))])

    sums, count = try_again(context.limit, sum_losses)
    plain, spliced, zeroed = (total / max(count, 1) for total in sums)
    return {
        "loss": plain,
        "loss_spliced": spliced,
        "loss_zeroed": zeroed,
        "loss_recovered": (zeroed - spliced) / (zeroed - plain) if zeroed > plain else float("nan"),
    }


def _sample(rows: Sequence[Tokens]) -> list[Tokens]:
    """Some of the rows, spread over all of them, with enough positions together."""
    longest = max(map(len, rows))
    wanted = max(4, SAMPLE // longest)
    return list(rows[:: max(1, len(rows) // wanted)])[:wanted]


def _activity(context: RunContext, layer: int, health: Health) -> FeatureActivity:
    alive = health.active.nonzero()[:, 0]

    def pick(values: Tensor) -> Any:
        return values[alive].cpu().numpy()

    return FeatureActivity.filled(
        run_id=context.run_id,
        layer=layer,
        feature=alive.cpu().numpy(),
        firing_rate=pick(health.firing_rate),
        mean_activation=pick(health.mean_activation),
        decoder_norm=pick(health.decoder_norm),
        origin=context.origin,
    )
