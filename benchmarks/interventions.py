"""What an intervention costs, beside the ways in which it is done elsewhere, on the same weights.

`python -m benchmarks.interventions [--quick] [--only small capture organism large]`

The other ways: the proof of concept's (a prompt at a time, one full forward a cell), one batched
hooked forward a feature, and, where they are installed, nnsight and SAELens as their documentation
has it (`benchmarks.ablation_peers`). A cell is one feature on one prompt. The slow ways are timed on
a part of the cells and the time is scaled up, which is said.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.ablation_peers import (
    Hooks,
    Nnsight,
    SaeLens,
    Tool,
    example_network,
    example_sae,
)
from benchmarks.figures import figure, ratio, seconds
from benchmarks.intervention_jobs import (
    TOKENS,
    a_job,
    active_share,
    close,
    firing,
    gemma_2_2b,
    no_noisier,
    raw_values,
    seconds_of_a_token_layer,
    token_layers,
)
from harness.interventions.edits import Edit, apply
from harness.models.adaptive_batching import BatchLimit
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import positions_of
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.runner.context import RunContext
from harness.runner.stages.ablate import ablate, prepare_edits
from harness.sae.jumprelu import Sae, encode
from harness.sae.weights import load_sae
from harness.specs.intervention import At, Intervention
from harness.specs.spec_file import load


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cells and rounds")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    if len(options.only) > 1:  # each in a process of its own: peak memory is a process's
        quick = ["--quick"] if options.quick else []
        calls = [[sys.executable, "-m", __spec__.name, *quick, "--only", o] for o in options.only]
        return max(subprocess.run(call, check=False).returncode for call in calls)
    held = SIZES[options.only[0]](options.quick)
    return 0 if all(held) else 1


def small(quick: bool) -> list[bool]:
    """A 12-layer Gemma 2 of width 512 in float32: 32 features, 64 prompts, a third of cells active."""
    network, layer = example_network(), 6
    sae = example_sae(512, 4096, layer)
    features = torch.arange(32)
    job = a_job(network, layer, sae, features.tolist(), 64)
    before = raw_values(job, sae.only(features))
    job = a_job(network, layer, firing(sae, before, features, 1 / 3), features.tolist(), 64)
    rounds, part = (2, 2) if quick else (5, 8)
    cells = job.cells(16 if quick else 64)
    whole = len(features) * len(job.prompts)
    print(
        f"12 layers, width 512, float32, layer {layer}: {whole} cells, {active_share(job):.0%} active"
    )
    replayed = token_layers(job)
    naive = whole * TOKENS * 12
    print(
        f"  {replayed / naive:.1%} of the token-layers of a full forward for every cell are replayed, "
        f"{(replayed + 64 * TOKENS * 12) / naive:.1%} computed"
    )
    saes = {layer: job.run_context.saes(layer)}
    tools: dict[str, Tool] = {"a batched hooked forward a feature": Hooks(network, saes)}
    bars = {"a batched hooked forward a feature": 8.5, "nnsight, last logits only": 8.5}
    if find_spec("nnsight"):
        tools["nnsight"] = Nnsight(network, saes)
        tools["nnsight, last logits only"] = Nnsight(network, saes, frugal=True)
    if find_spec("sae_lens"):
        tools["SAELens"] = SaeLens(network, saes)
    held = [close(job, tools[next(iter(tools))], 1e-5)]
    taken = []

    def beside(other: Callable[[], object], scale: float) -> float:
        ours, theirs = [], []
        job.ours(), other()
        for _ in range(rounds):
            ours.append(seconds(job.ours))
            theirs.append(seconds(other))
        taken.extend(ours)
        return statistics.median(t * scale / o for t, o in zip(theirs, ours, strict=True))

    times = beside(partial(job.one_by_one, cells), whole / len(cells))
    print(f"  the proof of concept's way, timed on {len(cells)} cells: {times:.1f} times as long")
    held.append(figure("small: a forward a cell / ours", times, "x", 28))
    for name, tool in tools.items():
        other = partial(tool.ablations, job.ids, layer, features.tolist()[:part], job.candidates)
        times = beside(other, len(features) / part)
        print(f"  {name}, timed on {part} features: {times:.1f} times as long")
        held.append(figure(f"small: {name} / ours", times, "x", bars.get(name, 10)))
    floor = (replayed + 64 * TOKENS * 12) * seconds_of_a_token_layer(job)
    times = statistics.median(taken) / floor
    print(f"  ours {statistics.median(taken):.2f} s, its token-layers' arithmetic {floor:.2f} s")
    held.append(
        figure("small: ours / arithmetic of its token-layers", times, "x", 1.2, at_most=True)
    )
    return held


def capture(quick: bool) -> list[bool]:
    """Five layers read at the last prompt token, beside bare forwards of the same batches."""
    network = example_network()
    saes = {layer: example_sae(512, 4096, layer) for layer in (0, 3, 6, 9, 11)}
    job = a_job(network, 6, saes[6], [0], 64)
    model = job.run_context.model
    batch = model.batch([model.tokens(p.text, p.correct, p.misconception) for p in job.prompts])
    last = positions_of(batch, "last_prompt_token")

    def ours() -> None:
        residuals: dict[int, Tensor] = {}
        model.forward(batch, {layer: partial(_keep, residuals, layer, last) for layer in saes})
        for layer, residual in residuals.items():
            encode(saes[layer], residual)

    rounds = 5 if quick else 25
    times = 1 / ratio(ours, lambda: model.forward(batch), rounds)
    print(f"five layers captured and encoded: {times:.3f} times a bare forward of the same batch")
    held = [figure("capture: five layers / bare forward", times, "x", 1.05, at_most=True)]

    @torch.inference_mode()
    def bare(rows: int) -> None:
        for start in range(0, 64, rows):
            network(job.ids[start : start + rows], use_cache=False, logits_to_keep=1)

    others: dict[str, Callable[[], object]] = {"a prompt at a time": partial(bare, 1)}
    if find_spec("nnsight"):
        others["nnsight"] = partial(Nnsight(network, saes).capture, job.ids)
    if find_spec("sae_lens"):
        others["SAELens"] = partial(SaeLens(network, saes).capture, job.ids)
    for name, other in others.items():
        times = 1 / ratio(other, partial(bare, 64), max(3, rounds // 5))
        print(f"  {name}: {times:.2f} times")
    return held


def _keep(residuals: dict[int, Tensor], layer: int, positions: Tensor, residual: Tensor) -> None:
    residuals[layer] = residual[positions]


def organism(quick: bool) -> list[bool]:
    """Sets of ten features over all layers of the organism, on prompts of `voices`."""
    plan = load(bundled("evals", "voices.yaml")).plan("organism")
    model = load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))
    files = {layer: sae_file(plan.target, layer) for layer in plan.layers}
    saes = {layer: load_sae(path, width=model.width) for layer, path in files.items()}
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    prompts = prompts[: 16 if quick else 64]
    random = torch.Generator().manual_seed(0)
    drawn = torch.randint(1024, (32, 10), generator=random).tolist()
    edits = [
        Intervention("a", "control", i, "zero", "prompt", "misconception", tuple(
            (n % 6, feature) for n, feature in enumerate(some)
        ))
        for i, some in enumerate(drawn)
    ]  # fmt: skip
    run_context = RunContext("r", "stand-in", model, saes.__getitem__, BatchLimit(16))

    def ours() -> object:
        return ablate(run_context, edits, lambda: prepare_edits(run_context, edits), {}, prompts)

    cells = [(edits[i % 32], prompts[i * 7 % len(prompts)]) for i in range(32)]

    def one_by_one() -> None:
        for edit, prompt in cells:
            batch = model.batch([model.tokens(prompt.text, prompt.correct, prompt.misconception)])
            taps: dict[int, Callable[[Tensor], Tensor]] = {}
            for layer in edit.layers:
                part = saes[layer].only(torch.tensor([f for of, f in edit.features if of == layer]))
                taps[layer] = partial(
                    apply, Edit(part, -1.0), positions=positions_of(batch, "prompt")
                )
            model.forward(batch, taps)

    scale = len(edits) * len(prompts) / len(cells)
    times = ratio(ours, one_by_one, 2 if quick else 5) * scale
    print(
        f"organism: {len(edits)} sets of 10 features on {len(prompts)} prompts, "
        f"{times:.1f} times as fast as a forward a cell (timed on {len(cells)})"
    )
    return [figure("organism: a forward a cell / ours", times, "x", 2.0)]


def large(quick: bool) -> list[bool]:
    """Gemma 2 2B's exact shape in bfloat16, random weights; GemmaScope's 16k shape at layer 12."""
    network, layer = gemma_2_2b(), 12
    width, features = network.config.hidden_size, 16384
    random = torch.Generator().manual_seed(0)
    w_dec = torch.randn(features, width, generator=random)
    w_dec /= w_dec.norm(dim=1, keepdim=True)
    always = torch.full((features,), -torch.inf)
    sae = Sae(w_dec.T.contiguous(), torch.zeros(features), w_dec, torch.zeros(width), always)
    job = a_job(network, layer, sae, range(32), 20, rows_at_once=16)
    tensors = [getattr(sae, name) for name in sae.__dataclass_fields__]
    sizes = sum(p.nbytes for p in network.parameters()) + 2 * sum(t.nbytes for t in tensors)
    replace(job, features=job.features[:2]).ours()  # before the other ways, which take more
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"Gemma 2 2B's shape in bfloat16: peak memory {peak / 1e9:.2f} GB; the model and two SAEs are "
        f"{sizes / 1e9:.2f} GB"
    )
    over = (peak - sizes) / 1e9
    held = [figure("large: peak memory beyond model + 2 SAEs", over, "GB", 1.0, at_most=True)]
    last: tuple[At, ...] = ((-1,), (-2, -1), (-3, -2, -1), (-4, -3, -2, -1))
    places: dict[str, tuple[Callable[[int], At], float]] = {
        "the first": (lambda _: "prompt", 3.5),
        "among the last four": (lambda i: last[i % 4], 12.0),
    }
    # Ours on a part of the prompts, between full forwards, so that both see the same machine.
    size = 10
    parts = [job.prompts[at : at + size] for at in range(0, 10 if quick else 20, size)]
    for name, (at, bar) in places.items():
        ratios, taken = [], 0.0
        for part in parts:
            cells = job.cells(3)
            some = replace(job, prompts=part)
            before = seconds(partial(job.one_by_one, cells))
            ours = seconds(partial(some.ours, at))
            each = (before + seconds(partial(job.one_by_one, cells))) / (2 * len(cells))
            ratios.append(each * len(job.features) * len(part) / ours)
            taken += ours
        whole = len(job.features) * size * len(parts)
        print(
            f"  {whole} cells, first edited position {name}: {taken:.1f} s, {each:.2f} s a full "
            f"forward (timed on {6 * len(parts)} cells)"
        )
        times = statistics.median(ratios)
        held.append(figure(f"large: a forward a cell / ours, {name}", times, "x", bar))
    held.append(
        no_noisier(
            replace(job, prompts=job.prompts[:4], ids=job.ids[:4], candidates=job.candidates[:4])
        )
    )
    return held


SIZES: dict[str, Callable[[bool], list[bool]]] = {
    "small": small,
    "capture": capture,
    "organism": organism,
    "large": large,
}


if __name__ == "__main__":
    sys.exit(main())
