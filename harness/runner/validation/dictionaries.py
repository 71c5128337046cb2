"""SAEs: whether each fits the stream that it reads, by the figures that a run's survey stores."""

from collections.abc import Iterator, Sequence

from harness.models.padded_batch import Tokens
from harness.runner.context import RunContext
from harness.runner.residual_streams import held_streams
from harness.runner.site_samples import SiteSamples
from harness.runner.stages.survey import LOST, losses
from harness.runner.validation.check import Check
from harness.sae import Sae
from harness.sae.diagnosis import FAR, HOPELESS, USEFUL
from harness.sae.health import Health


def dictionaries(
    context: RunContext, layers: Sequence[int], rows: Sequence[Tokens]
) -> Iterator[Check]:
    """The figures of each layer's SAE on the prompts of some rows, BOS left out."""
    samples = SiteSamples(context, rows)
    for layer in layers:
        yield from _dictionary(context, context.saes(layer), layer, rows, samples)


def _dictionary(
    context: RunContext,
    sae: Sae,
    layer: int,
    rows: Sequence[Tokens],
    samples: SiteSamples,
) -> Iterator[Check]:
    health = Health(sae)
    for held in held_streams(context, [layer], rows, "prompt"):
        health.add(sae, held[layer])
    recovered = losses(context, sae, layer, lambda: samples.forwards)
    share = recovered["loss_recovered"]
    mocked = context.origin == "mock"

    def check(name: str, holds: bool | None, value: float, found: str, says: str) -> Check:
        if mocked:
            return Check(name, None, f"{found}; its directions are random", says, layer, value)
        return Check(name, holds, found, says, layer, value)

    fits = f"it has {sae.features:,} features of {sae.width} dimensions"
    alike = sae.held_width == context.model.held_width
    yield Check("width", alike, fits, "the model's width", layer)
    least = min(health.fvu, health.fvu_median)
    yield check(
        "fvu", least < HOPELESS or share >= USEFUL, health.fvu,
        f"{health.fvu:.3f} unexplained, {health.fvu_median:.3f} of the median dimension, "
        f"at {health.positions} positions",
        f"either is below {HOPELESS}, or {USEFUL:.0%} of the loss is recovered",
    )  # fmt: skip
    published = sae.l0
    near = published is None or published / FAR <= health.l0 <= published * FAR
    said = "its publisher says nothing" if published is None else f"published {published:.0f}"
    yield check(
        "l0", health.l0 > 0 and near, health.l0, f"{health.l0:.1f} features active; {said}",
        f"some, and within a factor of {FAR} of what is published",
    )  # fmt: skip
    yield check(
        "loss recovered", share >= LOST if share == share else None, share,
        f"{share:.1%}: {recovered['loss']:.3f} nats a token, {recovered['loss_spliced']:.3f} through it, "
        f"{recovered['loss_zeroed']:.3f} without the stream",
        f"{LOST:.0%} of what the layer does for prediction",
    )  # fmt: skip
    wrong = samples.misfit(sae, layer, share)
    holds = None if mocked else wrong is None
    found = wrong or "no other reading of its weights fits better"
    yield Check("misfit", holds, found, "as it is read it fits the stream", layer)
