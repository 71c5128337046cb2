"""What edits cost at other sites than the stream, and of TopK dictionaries, beside JumpReLU's of the stream.

`python -m benchmarks.sites [--quick]`

The same model, prompts, features and positions in each, in turn: what differs is the dictionary alone. Every
edit moves something everywhere, so that as many cells are replayed.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from benchmarks.ablation_peers import example_network
from benchmarks.figures import figure, seconds
from benchmarks.intervention_jobs import Job, Size, a_job
from harness.runner.prompt_replays import prepare_edits
from harness.runner.stages.ablate import ablate
from harness.sae.encoding import Sae
from harness.specs.intervention import Intervention
from harness.specs.sites import Site

QUICK = Size(layers=8, width=256, sae=2048, prompts=16, ablated=8)
ACTIVE = 64  # of a TopK dictionary's features
# At most so many times the time of JumpReLU's edits of the stream. What the MLP writes is edited in the
# stream; after attention the rest of a block is computed; TopK needs all features where it is edited, once.
MOST = {
    "mlp_out": 1.2, "transcoder": 1.2, "attn_out": 1.4, "attn_z": 1.4, "topk": 1.3, "topk, two layers": 2.5,
}  # fmt: skip


def main() -> int:
    """Print a line a case; returns 1 where one costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    return int(not all(costs(QUICK, 3) if options.quick else costs(Size(), 7)))


def costs(size: Size, rounds: int) -> list[bool]:
    """How many times as long as edits of the stream those of every other kind take, medians of rounds."""
    network, layer = example_network(size.layers, size.width, "gemma2"), size.layers // 2
    job = a_job(network, layer, _dictionary(size, "resid_post"), range(size.ablated), size.prompts)
    two = (layer, size.layers - 2)
    ways: dict[str, Callable[[], object]] = {
        "stream": _edits(job, size, "resid_post", (layer,)),
        **{site: _edits(job, size, site, (layer,)) for site in MOST if site in SITES},
        "topk": _edits(job, size, "resid_post", (layer,), ACTIVE),
        "stream, two layers": _edits(job, size, "resid_post", two),
        "topk, two layers": _edits(job, size, "resid_post", two, ACTIVE),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():  # in turn, so that what else the machine does is in all
            if round_:
                taken[name].append(seconds(way))
            else:
                way()
    held = []
    for name, most in MOST.items():
        beside = taken["stream, two layers" if "two" in name else "stream"]
        times = statistics.median(a / b for a, b in zip(taken[name], beside, strict=True))
        held.append(figure(f"sites: {name} / stream", times, "x", most, at_most=True))
    return held


SITES: tuple[Site, ...] = ("mlp_out", "transcoder", "attn_out", "attn_z")


def _edits(
    job: Job, size: Size, site: Site, layers: tuple[int, ...], top_k: int | None = None
) -> Callable[[], object]:
    """The job's features steered at a site, each of every layer by itself."""
    context = job.run_context
    model = context.model.at(site)
    width = model.held_width // 2 if site == "transcoder" else model.held_width
    sae = replace(_dictionary(replace(size, width=width), site), top_k=top_k)
    context = replace(context, model=model, saes=lambda _: sae)
    edits = [
        Intervention(
            "a", "single", i, "steer", "prompt", "correct", tuple((of, feature) for of in layers), (),
            (1.0,) * len(layers),
        )
        for i, feature in enumerate(job.features)
    ]  # fmt: skip
    return partial(ablate, context, edits, lambda _: prepare_edits(context, edits), {}, job.prompts)


def _dictionary(size: Size, site: Site) -> Sae:
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(
        torch.randn(size.sae, size.width, generator=generator), dim=1
    )
    zeros = torch.zeros(size.sae)
    return Sae(
        rows.T.contiguous(), zeros, rows, torch.zeros(size.width), zeros, relu=True, site=site
    )


if __name__ == "__main__":
    sys.exit(main())
