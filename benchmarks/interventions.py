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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM
from transformers.initialization import no_init_weights

from benchmarks.ablation_peers import (
    Hooks,
    Nnsight,
    SaeLens,
    Tool,
    example_network,
    example_prompts,
    example_sae,
    logprobs,
)
from benchmarks.figures import figure, ratio, seconds
from harness.interventions.edits import Edit, apply
from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import positions_of
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.runner.context import RunContext
from harness.runner.stages.ablate import intervene, prepare_edits
from harness.sae.jumprelu import Sae, encode
from harness.sae.weights import load_sae
from harness.specs.intervention import At, Intervention
from harness.specs.prompt import Prompt
from harness.specs.spec_file import load

TOKENS = 24  # of every prompt


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


class Words:
    """A tokenizer whose words are token ids: `17 93` is [bos, 17, 93]."""

    bos_token_id, all_special_ids = 2, (0, 1, 2)

    def __call__(self, text: str) -> Any:
        """As tokenizers of transformers are called."""
        ids = [self.bos_token_id, *map(int, text.split())]
        return argparse.Namespace(input_ids=ids)


@dataclass(frozen=True)
class Job:
    """Prompts and features to ablate one by one."""

    bench: RunContext
    prompts: tuple[Prompt, ...]
    layer: int
    features: tuple[int, ...]
    ids: Tensor
    candidates: Tensor

    def ours(self, at: Callable[[int], At] = lambda _: "prompt") -> Sequence[Any]:
        """All cells through the public function, from the SAE's weights to rows of the store."""
        edits = [
            Intervention("a", "single", i, "zero", at(i), "correct", ((self.layer, feature),))
            for i, feature in enumerate(self.features)
        ]
        return intervene(
            self.bench, edits, lambda: prepare_edits(self.bench, edits), {}, self.prompts
        )

    @torch.inference_mode()
    def one_by_one(self, cells: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The proof of concept's way, for some cells (feature, prompt): a full forward of each."""
        network, sae = self.bench.model.network, self.bench.saes(self.layer)
        scores = []
        for which, row in cells:
            part = sae.only(torch.tensor([self.features[which]]))

            def ablate(_block: Any, _args: Any, residual: Tensor, part: Sae = part) -> Tensor:
                moved = residual.float() - encode(part, residual) @ part.w_dec
                return torch.cat([residual[:, :1], moved[:, 1:].to(residual.dtype)], 1)

            hook = network.model.layers[self.layer].register_forward_hook(ablate)
            try:
                logits = network(self.ids[row : row + 1]).logits
            finally:
                hook.remove()
            scores.append(logprobs(logits, self.candidates[row : row + 1])[0])
        return scores

    def cells(self, count: int) -> list[tuple[int, int]]:
        """Some of them, spread over all."""
        total = len(self.features) * len(self.prompts)
        chosen = range(0, total, max(1, total // count))[:count]
        return [divmod(at * 7919 % total, len(self.prompts)) for at in chosen]


def a_job(
    network: Any, layer: int, sae: Sae, features: Sequence[int], prompts: int, rows_at_once: int = 0
) -> Job:
    """Random prompts with two candidate tokens each."""
    ids, candidates = example_prompts(prompts, TOKENS, network.config)
    rows = tuple(
        Prompt(
            str(i), str(i), "f", "correct", " ".join(map(str, text)), str(right), str(right),
            str(wrong), i,
        )
        for i, (text, (right, wrong)) in enumerate(
            zip(ids[:, 1:].tolist(), candidates.tolist(), strict=True)
        )
    )  # fmt: skip
    model = LanguageModel(network, Words())
    bench = RunContext(
        "r", "mock", model, {layer: sae}.__getitem__, BatchLimit(rows_at_once or prompts)
    )
    return Job(bench, rows, layer, tuple(features), ids, candidates)


def firing(sae: Sae, values: Tensor, features: Tensor, share: float) -> Sae:
    """The SAE with thresholds at which these features are active in so many of the prompts.

    `values` (prompts, tokens, features) are what they are without a threshold, BOS left out.
    """
    threshold = sae.threshold.clone()
    threshold[features] = values.amax(1).quantile(1 - share, dim=0)
    return Sae(sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, threshold)


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
    saes = {layer: job.bench.saes(layer)}
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


def raw_values(job: Job, part: Sae) -> Tensor:
    """Features without their threshold at every position but BOS, (prompts, tokens, features)."""
    open_ = Sae(
        part.w_enc, part.b_enc, part.w_dec, part.b_dec, torch.full_like(part.threshold, -torch.inf)
    )
    values: dict[int, Tensor] = {}

    def read(residual: Tensor) -> None:
        values[0] = encode(open_, residual[:, 1:])

    hook = job.bench.model.network.model.layers[job.layer].register_forward_hook(
        lambda _block, _args, residual: read(residual)
    )
    with torch.inference_mode():
        job.bench.model.network(job.ids, use_cache=False, logits_to_keep=1)
    hook.remove()
    return values[0].clone()


def active_share(job: Job) -> float:
    """Of the cells."""
    impacts, _ = job.ours()
    return statistics.fmean(map(bool, impacts.active))


def token_layers(job: Job) -> int:
    """How many columns times blocks our replays compute, padding included."""
    counted = 0

    def count(self: Any, kept: Any, tail: Any, block: int, *rest: Any, **more: Any) -> Tensor:
        nonlocal counted
        counted += tail.column.numel() * (self.depth - 1 - block)
        return replay(self, kept, tail, block, *rest, **more)

    replay = LanguageModel.replay
    LanguageModel.replay = count  # type: ignore[method-assign]
    try:
        job.ours()
    finally:
        LanguageModel.replay = replay  # type: ignore[method-assign]
    return counted


def seconds_of_a_token_layer(job: Job) -> float:
    """From bare forwards of all prompts: the blocks' own time, without embedding and head."""
    network = job.bench.model.network
    with torch.inference_mode():
        run = lambda: network(job.ids, use_cache=False, logits_to_keep=1)  # noqa: E731
        run()
        taken = statistics.median(seconds(run) for _ in range(7))
    return taken / (job.ids.numel() * len(network.model.layers))


def close(job: Job, reference: Tool, near: float) -> bool:
    """Whether our log-probabilities are those of a plain hooked forward, for some features."""
    some = range(0, len(job.features), 4)
    wanted = reference.ablations(
        job.ids, job.layer, [job.features[i] for i in some], job.candidates
    )
    impacts, _ = job.ours()
    number = {edit: i for i, edit in enumerate(dict.fromkeys(impacts.intervention_id))}
    column = {"log_p_correct": 0, "log_p_misconception": 1}
    apart = 0.0
    for edit, prompt, metric, edited in zip(
        impacts.intervention_id, impacts.prompt_id, impacts.metric, impacts.edited, strict=True
    ):
        if metric in column and number[edit] in some:
            there = wanted[some.index(number[edit]), int(prompt), column[metric]]
            apart = max(apart, abs(float(there) - edited))
    print(f"  at most {apart:.1e} nats from a plain hooked forward")
    return figure("small: difference from a hooked forward", apart, "nats", near, at_most=True)


def capture(quick: bool) -> list[bool]:
    """Five layers read at the last prompt token, beside bare forwards of the same batches."""
    network = example_network()
    saes = {layer: example_sae(512, 4096, layer) for layer in (0, 3, 6, 9, 11)}
    job = a_job(network, 6, saes[6], [0], 64)
    model = job.bench.model
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
    bench = RunContext("r", "stand-in", model, saes.__getitem__, BatchLimit(16))

    def ours() -> object:
        return intervene(bench, edits, lambda: prepare_edits(bench, edits), {}, prompts)

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


@torch.no_grad()
def no_noisier(job: Job, count: int = 4) -> bool:
    """Our impacts' distance from a hooked forward's, against what another order of a sum makes.

    In bfloat16 a rounding of the edit's float32 arithmetic is seen in the answer, whoever makes it.
    """
    network, sae = job.bench.model.network, job.bench.saes(job.layer)

    def impact(feature: int, values: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        column, row = sae.w_enc[:, feature], sae.w_dec[feature]

        def ablate(_block: Any, _args: Any, residual: Tensor) -> Tensor:
            moved = residual.float() - values(residual.float(), column)[..., None] * row
            return torch.cat([residual[:, :1], moved[:, 1:].to(residual.dtype)], 1)

        plain = logprobs(network(job.ids).logits, job.candidates)
        hook = network.model.layers[job.layer].register_forward_hook(ablate)
        try:
            edited = network(job.ids).logits
        finally:
            hook.remove()
        return logprobs(edited, job.candidates) - plain

    some = job.features[:count]
    wanted = torch.stack([impact(f, lambda x, column: x @ column) for f in some])
    other = torch.stack([impact(f, lambda x, column: (x * column).sum(-1)) for f in some])
    impacts, _ = replace(job, features=some).ours()
    column = {"log_p_correct": 0, "log_p_misconception": 1}
    number = {edit: i for i, edit in enumerate(dict.fromkeys(impacts.intervention_id))}
    apart = max(
        abs(float(wanted[number[edit], int(prompt), column[metric]]) - value)
        for edit, prompt, metric, value in zip(
            impacts.intervention_id, impacts.prompt_id, impacts.metric, impacts.impact, strict=True
        )
        if metric in column
    )
    noise = float((wanted - other).abs().max())
    print(
        f"  impacts of up to {float(wanted.abs().max()):.3f} nats: ours are within {apart:.3f} of a "
        f"hooked forward's, which another order of summation moves by {noise:.3f}"
    )
    return figure("large: distance / rounding", apart / noise, "x", 1.5, at_most=True)


def gemma_2_2b() -> Any:
    """Random weights in Gemma 2 2B's exact shape, in bfloat16; 5.2 GB."""
    config = Gemma2Config(  # type: ignore[call-arg]
        vocab_size=256_000,
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=4096,
        attn_implementation="eager",
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with no_init_weights():
            network = Gemma2ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    network.tie_weights()
    generator = torch.Generator().manual_seed(0)
    for name, weight in network.named_parameters():
        for part in weight.data.split(4096):  # torch draws in float32 first
            part.normal_(std=0.2 if "norm" in name else 0.02, generator=generator)
    return network.eval().requires_grad_(False)


SIZES: dict[str, Callable[[bool], list[bool]]] = {
    "small": small,
    "capture": capture,
    "organism": organism,
    "large": large,
}

if __name__ == "__main__":
    sys.exit(main())
