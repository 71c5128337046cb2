"""What an intervention costs, beside the ways in which it is done elsewhere, on the same weights.

`python -m benchmarks.interventions [--quick] [--only small families capture organism large]`

The other ways: the proof of concept's (a prompt at a time, one full forward a cell), one batched
hooked forward a feature, and, where they are installed, nnsight and SAELens as their documentation
has it (`benchmarks.ablation_peers`). A cell is one feature on one prompt. The slow ways are timed on
a part of the cells and the time is scaled up, which is said.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.ablation_peers import (
    CLOSE,
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
    Job,
    Size,
    a_job,
    active_share,
    close,
    firing,
    gemma_2_2b,
    memory,
    no_noisier,
    raw_values,
    seconds_of_a_token_layer,
    token_layers,
)
from benchmarks.place import bar, choose, place
from harness.interventions.edits import Edit, apply
from harness.models.adaptive_batching import BatchLimit
from harness.models.loading import load_model
from harness.models.memory import peak_memory
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import positions_of
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.runner.context import RunContext
from harness.runner.prompt_replays import prepare_edits
from harness.runner.stages.ablate import ablate
from harness.sae.encoding import Sae, encode
from harness.sae.weights import load_sae
from harness.specs.intervention import At, Intervention
from harness.specs.spec_file import load

FULL = Size()
# How much of the gain on Gemma each has at least. An MLP of GPT has two matrices where Gemma's has three:
# a forward takes less, and what a replay takes beside its blocks is more of it.
FAMILIES = {"llama": 0.9, "qwen2": 0.9, "qwen3": 0.9, "mistral": 0.9, "gpt_neox": 0.8, "gpt2": 0.8}


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cells and rounds")
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    choose(options.device)
    if len(options.only) > 1:  # each in a process of its own: peak memory is a process's
        quick = ["--device", options.device, *["--quick"] * options.quick]
        calls = [[sys.executable, "-m", __spec__.name, *quick, "--only", o] for o in options.only]
        return max(subprocess.run(call, check=False).returncode for call in calls)
    held = SIZES[options.only[0]](options.quick)
    return 0 if all(held) else 1


@dataclass(frozen=True)
class Other:
    """Another way: how many times as long it takes at least, and within how many nats it agrees."""

    tool: Tool
    bar: float
    near: float


def others(network: Any, saes: Mapping[int, Sae]) -> dict[str, Other]:
    """The ways that are installed; the first is torch's own."""
    found = {"a batched hooked forward a feature": Other(Hooks(network, saes), 8.5, 1e-5)}
    if find_spec("nnsight"):
        found["nnsight"] = Other(Nnsight(network, saes), 10, 1e-5)
        last = Nnsight(network, saes, frugal=True)
        found["nnsight, last logits only"] = Other(last, 8.5, 1e-5)
    if find_spec("sae_lens"):
        found["SAELens"] = Other(SaeLens(network, saes), 10, CLOSE)
    return found


def a_third_active(size: Size, family: str = "gemma2") -> Job:
    """Features of an SAE in the middle of an example network, each active on a third of the prompts."""
    network, layer = example_network(size.layers, size.width, family), size.layers // 2
    sae, features = example_sae(size.width, size.sae, layer), torch.arange(size.ablated)
    job = a_job(network, layer, sae, features.tolist(), size.prompts)
    sae = firing(sae, raw_values(job, sae.only(features)), features, 1 / 3)
    return a_job(network, layer, sae, features.tolist(), size.prompts)


def small(quick: bool, size: Size = FULL) -> list[bool]:
    """A 12-layer Gemma 2 of width 512 in float32: 32 features, 64 prompts, a third of cells active."""
    job = a_third_active(size)
    features, cells = size.ablated, job.cells(16 if quick else 64)
    rounds, part = (2, 2) if quick else (5, 8)
    whole, once = features * size.prompts, size.prompts * TOKENS * size.layers
    print(
        f"{size.layers} layers, width {size.width}, float32, layer {job.layer}: {whole} cells, "
        f"{active_share(job):.0%} active"
    )
    replayed = token_layers(job)
    print(
        f"  {replayed / (features * once):.1%} of the token-layers of a full forward for every cell "
        f"are replayed, {(replayed + once) / (features * once):.1%} computed"
    )
    ways = others(job.run_context.model.network, {job.layer: job.run_context.saes(job.layer)})
    held = [close(job, name, way.tool, way.near) for name, way in ways.items()]
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
    held.append(figure("small: a forward a cell / ours", times, "x", bar(28)))
    for name, way in ways.items():
        some = job.features[:part]
        other = partial(way.tool.ablations, job.ids, job.layer, some, job.candidates)
        times = beside(other, features / part)
        print(f"  {name}, timed on {part} features: {times:.1f} times as long")
        held.append(figure(f"small: {name} / ours", times, "x", bar(way.bar)))
    floor = (replayed + once) * seconds_of_a_token_layer(job)
    times = statistics.median(taken) / floor
    print(f"  ours {statistics.median(taken):.2f} s, its token-layers' arithmetic {floor:.2f} s")
    name = "small: ours / arithmetic of its token-layers"
    return [*held, figure(name, times, "x", 1.2, at_most=True)]


def capture(quick: bool, size: Size = FULL) -> list[bool]:
    """Five layers read at the last prompt token, beside bare forwards of the same batches."""
    network = example_network(size.layers, size.width)
    layers = [size.layers * i // 4 for i in range(4)] + [size.layers - 1]
    saes = {layer: example_sae(size.width, size.sae, layer) for layer in layers}
    job = a_job(network, layers[0], saes[layers[0]], [0], size.prompts)
    model = job.run_context.model
    batch = model.batch([model.tokens(p.text, p.correct, p.misconception) for p in job.prompts])
    last = positions_of(batch, "last_prompt_token")

    def ours() -> dict[int, Tensor]:
        residuals: dict[int, Tensor] = {}
        model.forward(batch, {layer: partial(_keep, residuals, layer, last) for layer in saes})
        return {layer: encode(saes[layer], residual) for layer, residual in residuals.items()}

    rounds = 5 if quick else 25
    times = 1 / ratio(ours, lambda: model.forward(batch), rounds)
    print(f"five layers captured and encoded: {times:.3f} times a bare forward of the same batch")
    held = [figure("capture: five layers / bare forward", times, "x", 1.05, at_most=True)]

    @torch.inference_mode()
    def bare(rows: int) -> None:
        for start in range(0, size.prompts, rows):
            network(job.ids[start : start + rows], use_cache=False, logits_to_keep=1)

    ways = {name: way.tool for name, way in others(network, saes).items() if "last" not in name}
    timed: dict[str, Callable[[], object]] = {"a prompt at a time": partial(bare, 1)}
    timed |= {name: partial(tool.capture, job.ids) for name, tool in ways.items()}
    for name, other in timed.items():
        times = 1 / ratio(other, partial(bare, size.prompts), max(3, rounds // 5))
        print(f"  {name}: {times:.2f} times")
    for name, tool in ways.items():
        held += same_values(name, ours(), tool.capture(job.ids))
    return held


def same_values(name: str, ours: Mapping[int, Tensor], theirs: Mapping[int, Tensor]) -> list[bool]:
    """Whether values (prompts, features) by layer are another way's at the last of its tokens.

    But for those that rounding takes across a threshold, of which there is one in ten thousand at most.
    """
    pairs = [(values, theirs[layer][:, -1]) for layer, values in ours.items()]
    crossed = torch.stack([(a > 0) != (b > 0) for a, b in pairs])
    apart = torch.stack([(a - b).abs() for a, b in pairs]).masked_fill(crossed, 0.0)
    figures = {
        f"capture: difference from {name}": (float(apart.max()), "of a value"),
        f"capture: fires here or in {name} alone": (float(crossed.float().mean()), "of 1"),
    }
    return [figure(what, *seen, CLOSE, at_most=True) for what, seen in figures.items()]


def _keep(residuals: dict[int, Tensor], layer: int, positions: Tensor, residual: Tensor) -> None:
    residuals[layer] = residual[positions]


def organism(quick: bool, sets: int = 32) -> list[bool]:
    """Sets of ten features over all layers of the organism, on prompts of `voices`."""
    plan = load(bundled("evals", "voices.yaml")).plan("organism")
    model = load_model(ModelFiles(bundled("fixtures", "organism"), "organism"), device=str(place()))
    files = {layer: sae_file(plan.target, layer) for layer in plan.layers}
    saes = {
        layer: load_sae(path, width=model.width).to(str(place())) for layer, path in files.items()
    }
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    prompts = prompts[: 16 if quick else 64]
    random = torch.Generator().manual_seed(0)
    drawn = torch.randint(1024, (sets, 10), generator=random).tolist()
    edits = [
        Intervention("a", "control", i, "zero", "prompt", "misconception", tuple(
            (n % 6, feature) for n, feature in enumerate(some)
        ))
        for i, some in enumerate(drawn)
    ]  # fmt: skip
    run_context = RunContext("r", "stand-in", model, saes.__getitem__, BatchLimit(16))

    def ours() -> Any:
        return ablate(
            run_context, edits, lambda context: prepare_edits(context, edits), {}, prompts
        )[0]

    cells = [(edits[i], prompts[i * 7 % len(prompts)]) for i in range(sets)]

    def one_by_one() -> list[list[Tensor]]:
        scores = []
        for edit, prompt in cells:
            batch = model.batch([model.tokens(prompt.text, prompt.correct, prompt.misconception)])
            taps: dict[int, Callable[[Tensor], Tensor]] = {}
            for layer in edit.layers:
                part = saes[layer].only(torch.tensor([f for of, f in edit.features if of == layer]))
                taps[layer] = partial(
                    apply, Edit(part, -1.0), positions=positions_of(batch, "prompt")
                )
            scores += model.forward(batch, taps)
        return scores

    scale = len(edits) * len(prompts) / len(cells)
    times = ratio(ours, one_by_one, 2 if quick else 5) * scale
    print(
        f"organism: {len(edits)} sets of 10 features on {len(prompts)} prompts, "
        f"{times:.1f} times as fast as a forward a cell (timed on {len(cells)})"
    )
    impacts = ours()
    keys = zip(impacts.intervention_id, impacts.prompt_id, impacts.metric, strict=True)
    edited = dict(zip(keys, impacts.edited, strict=True))
    apart = max(
        abs(float(score[0].sum()) - edited[edit.id, prompt.id, "log_p_correct"])
        for (edit, prompt), score in zip(cells, one_by_one(), strict=True)
    )
    name = "organism: difference from a forward a cell"
    return [
        figure("organism: a forward a cell / ours", times, "x", bar(2.0)),
        figure(name, apart, "nats", CLOSE, at_most=True),
    ]


def large(quick: bool) -> list[bool]:
    """Gemma 2 2B's exact shape in bfloat16, random weights; GemmaScope's 16k shape at layer 12."""
    return in_bfloat16(gemma_2_2b(), 12, 16384, quick)


def in_bfloat16(network: Any, layer: int, features: int, quick: bool) -> list[bool]:
    """32 of the features of a random SAE on 20 prompts: peak memory, time, and noise."""
    width = network.config.hidden_size
    random = torch.Generator().manual_seed(0)
    w_dec = torch.randn(features, width, generator=random)
    w_dec /= w_dec.norm(dim=1, keepdim=True)
    always = torch.full((features,), -torch.inf)
    sae = Sae(w_dec.T.contiguous(), torch.zeros(features), w_dec, torch.zeros(width), always)
    sae = sae.to(place())
    job = a_job(network, layer, sae, range(32), 20, rows_at_once=16)
    sizes = memory(network, sae)
    replace(job, features=job.features[:2]).ours()  # before the other ways, which take more
    peak = peak_memory()[place().type == "cuda"] or 0
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
    for name, (at, least) in places.items():
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
        held.append(figure(f"large: a forward a cell / ours, {name}", times, "x", bar(least)))
    held.append(
        no_noisier(
            replace(job, prompts=job.prompts[:4], ids=job.ids[:4], candidates=job.candidates[:4])
        )
    )
    return held


def families(quick: bool, size: Size = FULL) -> list[bool]:
    """The same beside batched hooks on decoders of other families: how much of Gemma's gain each has."""
    rounds, part = (2, 4) if quick else (7, 8)
    jobs = {family: a_third_active(size, family) for family in ("gemma2", *FAMILIES)}
    gains: dict[str, list[float]] = {family: [] for family in jobs}
    held = []
    for round_ in range(rounds + 1):
        for family, job in jobs.items():  # in turn, so that what else the machine does is in all
            network = job.run_context.model.network
            hooks = Hooks(network, {job.layer: job.run_context.saes(job.layer)})
            if not round_:
                held.append(close(job, f"{family}'s hooks", hooks, 1e-5))
                job.ours()
                continue
            some = job.features[:part]
            theirs = seconds(partial(hooks.ablations, job.ids, job.layer, some, job.candidates))
            gains[family].append(theirs * len(job.features) / part / seconds(job.ours))
    gemma = statistics.median(gains["gemma2"])
    print(f"batched hooks / ours on gemma2: {gemma:.1f} times as long")
    for family, least in FAMILIES.items():
        pairs = zip(gains[family], gains["gemma2"], strict=True)
        share = statistics.median(one / other for one, other in pairs)
        gain = statistics.median(gains[family])
        print(f"  {family}: {gain:.1f} times as long, {share:.2f} of Gemma's gain")
        held.append(figure(f"families: gain on {family} / on gemma2", share, "x", bar(least)))
    return held


SIZES: dict[str, Callable[[bool], list[bool]]] = {
    "small": small,
    "families": families,
    "capture": capture,
    "organism": organism,
    "large": large,
}


if __name__ == "__main__":
    sys.exit(main())
