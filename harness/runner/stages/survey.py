"""Do the SAEs fit the model, on the run's own prompts? And how often does each feature fire?

Rows of `sae_health`, one a layer; and of `feature_activity`, a table a layer with one row a feature that
fires at all.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness.models.adaptive_batching import ENCODED, try_again
from harness.runner.context import RunContext
from harness.runner.residual_streams import held_streams
from harness.runner.sample_forwards import SampleForward
from harness.runner.site_samples import SiteSamples
from harness.runner.sums import MOST, Sums
from harness.sae import Sae, decode, encode
from harness.sae.encoding import with_written, written_part
from harness.sae.health import Health
from harness.sae.sparse_product import sparse_product
from harness.specs.chat import Chat
from harness.store.tables.columns import Columns
from harness.store.tables.observations import FeatureActivity, SaeHealth

T = TypeVar("T")

LONGEST = f"{MOST}tokens of a text"
LOST = 0.5  # share of recovered loss below which an SAE is warned about
SAMPLE = 512  # positions of which losses are taken


def survey(context: RunContext, layers: Sequence[int], texts: Sequence[str | Chat]) -> Sums:
    """Each SAE's sums over all positions but BOS of some texts, by layer.

    They add up over groups of texts. Raises `CannotRun` where NaN or infinity arises.
    """
    rows = [context.model.tokens(text) for text in texts]
    health = {layer: Health(context.saes(layer)) for layer in layers}
    for streams in held_streams(context, layers, rows, "prompt"):
        for layer, stream in streams.items():
            sae = context.saes(layer)
            health[layer].add(sae, stream, min(ENCODED, context.limit.positions(sae.features)))
    sums = {
        f"{layer} {name}": value
        for layer, one in health.items()
        for name, value in one.state().items()
    }
    return sums | {LONGEST: max(map(len, rows))}


def survey_layer(
    context: RunContext,
    layer: int,
    n_prompts: int,
    sums: Sums,
    sample: Sequence[str | Chat],
) -> list[Columns]:
    """The health of one layer's SAE, of its `sums` over `n_prompts` texts, and its features' activity.

    Losses are taken on a `sample` of the texts, see `sample_of`. Raises as `survey`.
    """
    rows = [context.model.tokens(text) for text in sample]
    samples = context.once("samples", lambda: SiteSamples(context, rows))
    sae = context.saes(layer)
    health = Health(sae)
    health.restore(sums)
    line = {
        "run_id": context.run_id,
        "layer": layer,
        "width": sae.features,
        "n_prompts": n_prompts,
        "n_positions": health.positions,
        **{name: getattr(health, name) for name in ("l0", "fvu", "fvu_median", "dead")},
        **_losses_and_warning(context, layer, samples, unmarked=context.model.lacks_bos),
        "origin": context.origin,
    }
    return [SaeHealth.of([line]), _activity(context, layer, health)]


def sample_of(texts: Sequence[T], sums: Sums) -> list[T]:
    """Some of the texts that were surveyed, spread over all of them, with enough positions together."""
    wanted = max(4, SAMPLE // int(sums[LONGEST]))
    return list(texts[:: max(1, len(texts) // wanted)])[:wanted]


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
        written, flat = written_part(sae, held), held.flatten(0, 1)

        def edited(instead: Tensor) -> Tensor:
            instead = instead.to(held.dtype).where(forward.edited[..., None], written)
            return with_written(sae, held, instead)

        decoded = decode(sae, encode(sae, flat), flat, sparse_product)
        spliced = forward.replayed(layer, edited(decoded.view_as(written)))
        zeroed = forward.zeroed(layer, edited(torch.zeros_like(written)))
        return torch.stack([forward.loss, spliced, zeroed])

    sums, count = try_again(context.limit, sum_losses)
    plain, spliced, zeroed = (total / max(count, 1) for total in sums)
    return {
        "loss": plain,
        "loss_spliced": spliced,
        "loss_zeroed": zeroed,
        "loss_recovered": (zeroed - spliced) / (zeroed - plain) if zeroed > plain else float("nan"),
    }


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
