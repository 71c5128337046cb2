"""Do the SAEs fit the model, on the run's own prompts? And how often does each feature fire?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.models.adaptive_batching import each
from harness.models.finite import check_finite
from harness.models.forward import Tap
from harness.models.logprobs import token_logprobs
from harness.models.padded_batch import Tokens, where
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import tail_of
from harness.runner.context import Bench
from harness.sae.diagnosis import misfit
from harness.sae.health import Health
from harness.sae.jumprelu import Sae, decode, encode
from harness.sae.precise import double
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.base import Columns
from harness.store.tables.observations import FeatureActivity, SaeHealth

HELD = 2**28  # bytes of residual stream that are held until every SAE has seen them
LOST = 0.5  # share of recovered loss below which an SAE is warned about
SAMPLE = 512  # positions on which an SAE is tried in other readings, and losses are taken


def survey(bench: Bench, plan: Plan, prompts: Sequence[Prompt]) -> list[Columns]:
    """Every SAE's health over all prompt positions but BOS, and its features' activity."""
    texts = list(dict.fromkeys(prompt.text for prompt in prompts))
    rows = [bench.model.tokens(text) for text in texts]
    health: dict[int, Health] = {}
    for streams in _streams(bench, plan, rows):
        for layer, stream in streams.items():
            sae = bench.saes(layer)
            health.setdefault(layer, Health(sae)).add(sae, stream)
    sample = _sample(rows)
    every = _of_every_block(bench, sample)
    bos = bench.model.bos
    unmarked = bos is None or any(row.prompt[0] != bos for row in rows)
    found = []
    for layer in plan.layers:
        sae = bench.saes(layer)
        words = ["the prompts begin without BOS, which the SAE never saw"] if unmarked else []
        if wrong := misfit(sae, every, layer):
            mocked = bench.origin == "mock"
            words.append("its directions are random, and reconstruct nothing" if mocked else wrong)
        loss = losses(bench, sae, layer, sample)
        if loss["loss_recovered"] < LOST:
            words.append(
                f"the model's loss on the prompts is {loss['loss_spliced']:.2f} nats a token through "
                f"it, {loss['loss']:.2f} without it: most of what the layer says is lost"
            )
        found.append(
            {
                "run_id": bench.run_id,
                "layer": layer,
                "width": sae.features,
                "n_prompts": len(texts),
                "n_positions": health[layer].positions,
                "l0": health[layer].l0,
                "fvu": health[layer].fvu,
                "fvu_median": health[layer].fvu_median,
                "dead": health[layer].dead,
                **loss,
                "warning": "; ".join(words) or None,
                "origin": bench.origin,
            }
        )
    return [
        SaeHealth.of(found),
        *(_activity(bench, layer, health[layer]) for layer in plan.layers),
    ]


def losses(bench: Bench, sae: Sae, layer: int, rows: Sequence[Tokens]) -> dict[str, float]:
    """Nats a token of the prompts themselves: as they are, through the SAE alone, and without it.

    `loss_recovered` = (zeroed - spliced) / (zeroed - as it is): the share of what the layer does for
    prediction that passes through the SAE. The edits are made at every position but BOS.
    """
    # A prompt as BOS with one long answer: every token of it is scored.
    said = [Tokens(row.prompt[:1], (row.prompt[1:],)) for row in rows if len(row.prompt) > 1]
    sums = np.zeros(3)
    count = 0

    def score(chosen: list[int]) -> tuple[list[float], int]:
        baseline = cached_forward(bench.model, [said[i] for i in chosen], [layer])
        batch = baseline.batch
        here = torch.arange(len(batch), device=batch.ids.device)
        tail = tail_of(batch, baseline.reads, here, torch.zeros_like(here))
        residual, edited = tail.of(baseline.residuals[layer]), tail.of(where(batch, "all"))

        def loss(stream: Tensor) -> float:
            stream = stream.to(residual.dtype).where(edited[..., None], residual)
            scored = token_logprobs(
                bench.model.replay(baseline, tail, layer, stream), baseline.reads, tail.row
            )
            return -float(double(scored).nansum())

        spliced = decode(sae, encode(sae, residual))
        parts = [loss(residual), loss(spliced), loss(torch.zeros_like(residual))]
        return parts, sum(len(said[i].answers[0]) for i in chosen)

    longest = max(map(len, said), default=1)
    most = max(1, 2**27 // (bench.model.bytes_per_read * longest))
    for _, (parts, scored) in each(bench.limit, said, score, most):
        sums, count = sums + parts, count + scored
    plain, spliced, zeroed = (float(total) / max(count, 1) for total in sums)
    return {
        "loss": plain,
        "loss_spliced": spliced,
        "loss_zeroed": zeroed,
        "loss_recovered": (zeroed - spliced) / (zeroed - plain) if zeroed > plain else float("nan"),
    }


def _streams(bench: Bench, plan: Plan, rows: Sequence[Tokens]) -> Iterator[Mapping[int, Tensor]]:
    """The residual stream at the read layers, (positions, width), as much at a time as is held."""
    held: dict[int, list[Tensor]] = {layer: [] for layer in plan.layers}
    size = 0

    def look(chosen: list[int]) -> dict[int, Tensor]:
        return _captured(bench, [rows[i] for i in chosen], plan.layers)

    for _, seen in each(bench.limit, rows, look):
        for layer, stream in seen.items():
            held[layer].append(stream)
            size += stream.nbytes
        if size >= HELD:
            yield {layer: torch.cat(parts) for layer, parts in held.items()}
            held, size = {layer: [] for layer in plan.layers}, 0
    if size:
        yield {layer: torch.cat(parts) for layer, parts in held.items()}


def _of_every_block(bench: Bench, rows: Sequence[Tokens]) -> Mapping[int, Tensor]:
    blocks = range(bench.model.depth)

    def look(chosen: list[int]) -> dict[int, Tensor]:
        return _captured(bench, [rows[i] for i in chosen], blocks)

    parts = [seen for _, seen in each(bench.limit, rows, look)]
    return {block: torch.cat([part[block] for part in parts])[:SAMPLE] for block in blocks}


def _captured(bench: Bench, rows: Sequence[Tokens], blocks: Sequence[int]) -> dict[int, Tensor]:
    """The stream after some blocks at every prompt position but BOS, (positions, width)."""
    batch = bench.model.batch(rows)
    positions = where(batch, "prompt")
    seen: dict[int, Tensor] = {}

    def look(block: int) -> Tap:
        def tap(residual: Tensor) -> None:
            seen[block] = residual[positions]

        return tap

    bench.model.forward(batch, {block: look(block) for block in blocks})
    check_finite(seen, bench.model.dtype)
    return seen


def _sample(rows: Sequence[Tokens]) -> list[Tokens]:
    """Some of the rows, spread over all of them, with enough positions together."""
    longest = max(map(len, rows))
    wanted = max(4, SAMPLE // longest)
    return list(rows[:: max(1, len(rows) // wanted)])[:wanted]


def _activity(bench: Bench, layer: int, health: Health) -> FeatureActivity:
    alive = health.active.nonzero()[:, 0]

    def pick(values: Tensor) -> Any:
        return values[alive].cpu().numpy()

    return FeatureActivity(
        run_id=[bench.run_id] * len(alive),
        layer=np.full(len(alive), layer),
        feature=alive.cpu().numpy(),
        firing_rate=pick(health.firing_rate),
        mean_activation=pick(health.mean_activation),
        decoder_norm=pick(health.decoder_norm),
        origin=[bench.origin] * len(alive),
    )
