"""Jobs of interventions that are timed: a model, an SAE, prompts and edits, and how far tools agree.

A tokenizer of words, random Gemma 2 models, and the measures that say what part of a job is computed.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM
from transformers.initialization import no_init_weights

from benchmarks.ablation_peers import (
    Tool,
    example_prompts,
    logprobs,
)
from benchmarks.figures import figure, seconds
from benchmarks.place import place
from harness.models.adaptive_batching import BatchLimit
from harness.models.architecture import Architecture
from harness.models.language_model import LanguageModel
from harness.runner.context import RunContext
from harness.runner.prompt_replays import prepare_edits
from harness.runner.stages.ablate import ablate
from harness.sae.encoding import Sae, encode
from harness.specs.intervention import At, Intervention
from harness.specs.prompt import Prompt

TOKENS = 24  # of every prompt
MARGIN = 0.01  # between a value and its threshold: another order of a sum moves a value by 1e-5
GEMMA_2_2B = {
    "vocab_size": 256_000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
}


@dataclass(frozen=True)
class Size:
    """Blocks and width of a model, features of its SAE, prompts, and how many features are ablated."""

    layers: int = 12
    width: int = 512
    sae: int = 4096
    prompts: int = 64
    ablated: int = 32


class Words:
    """A tokenizer whose words are token ids: `17 93` is [bos, 17, 93]."""

    bos_token_id, all_special_ids = 2, (0, 1, 2)

    def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
        """As tokenizers of transformers are called."""
        ids = [*[self.bos_token_id] * add_special_tokens, *map(int, text.split())]
        return argparse.Namespace(input_ids=ids)


@dataclass(frozen=True)
class Job:
    """Prompts and features to ablate one by one."""

    run_context: RunContext
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
        return ablate(
            self.run_context,
            edits,
            lambda context: prepare_edits(context, edits),
            {},
            self.prompts,
        )

    @torch.inference_mode()
    def one_by_one(self, cells: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The proof of concept's way, for some cells (feature, prompt): a full forward of each."""
        network, sae = self.run_context.model.network, self.run_context.saes(self.layer)
        scores = []
        for which, row in cells:
            part = sae.only(torch.tensor([self.features[which]]))

            def ablate(_block: Any, _args: Any, residual: Tensor, part: Sae = part) -> Tensor:
                moved = residual.float() - encode(part, residual) @ part.w_dec
                return torch.cat([residual[:, :1], moved[:, 1:].to(residual.dtype)], 1)

            hook = Architecture(network).blocks[self.layer].register_forward_hook(ablate)
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
    run_context = RunContext(
        "r", "mock", model, {layer: sae}.__getitem__, BatchLimit(rows_at_once or prompts)
    )
    return Job(run_context, rows, layer, tuple(features), ids, candidates)


def firing(sae: Sae, values: Tensor, features: Tensor, share: float) -> Sae:
    """The SAE with thresholds at which these features are active in about so many of the prompts.

    `values` (prompts, tokens, features) are what they are without a threshold, BOS left out. None is
    within `MARGIN` of its feature's threshold: on a value, rounding would decide whether it fires.
    """
    threshold = sae.threshold.clone()
    threshold[features] = torch.stack([between(of, share) for of in values.unbind(-1)])
    margin = float((values - threshold[features]).abs().min())
    if not margin >= MARGIN:
        raise AssertionError(f"a value is {margin:.1e} from its threshold, nearer than {MARGIN}")
    return replace(sae, threshold=threshold)


def between(values: Tensor, share: float) -> Tensor:
    """The middle of the widest gap in a feature's values (prompts, tokens), where about so many fire.

    So many of the prompts, give or take one in twenty, have a value above it.
    """
    highest = values.amax(1).sort().values
    quiet, slack = round(len(highest) * (1 - share)), max(1, len(highest) // 20)
    low, high = highest[quiet - 1 - slack], highest[quiet + slack]
    near = values[(low <= values) & (values <= high)].sort().values
    widest = int(near.diff().argmax())
    return near[widest : widest + 2].mean()


def raw_values(job: Job, part: Sae) -> Tensor:
    """Features without their threshold at every position but BOS, (prompts, tokens, features)."""
    open_ = replace(part, threshold=torch.full_like(part.threshold, -torch.inf))
    values: dict[int, Tensor] = {}

    def read(residual: Tensor) -> None:
        values[0] = encode(open_, residual[:, 1:])

    hook = job.run_context.model.blocks[job.layer].register_forward_hook(
        lambda _block, _args, residual: read(residual)
    )
    with torch.inference_mode():
        job.run_context.model.network(job.ids, use_cache=False, logits_to_keep=1)
    hook.remove()
    return values[0].clone()


def memory(network: Any, sae: Sae) -> int:
    """Bytes of a model and of two SAEs, the most that are held at once."""
    weights = [weight for weight in vars(sae).values() if isinstance(weight, Tensor)]
    return sum(p.nbytes for p in network.parameters()) + 2 * sum(w.nbytes for w in weights)


def active_share(job: Job) -> float:
    """Of the cells."""
    impacts, *_ = job.ours()
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
    network = job.run_context.model.network
    with torch.inference_mode():
        run = lambda: network(job.ids, use_cache=False, logits_to_keep=1)  # noqa: E731
        run()
        taken = statistics.median(seconds(run) for _ in range(7))
    return taken / (job.ids.numel() * len(Architecture(network).blocks))


def close(job: Job, name: str, reference: Tool, near: float) -> bool:
    """Whether our log-probabilities are those of another way, for some features, within nats."""
    some = range(0, len(job.features), 4)
    wanted = reference.ablations(
        job.ids, job.layer, [job.features[i] for i in some], job.candidates
    )
    impacts, *_ = job.ours()
    number = {edit: i for i, edit in enumerate(dict.fromkeys(impacts.intervention_id))}
    column = {"log_p_correct": 0, "log_p_misconception": 1}
    apart = 0.0
    for edit, prompt, metric, edited in zip(
        impacts.intervention_id, impacts.prompt_id, impacts.metric, impacts.edited, strict=True
    ):
        if metric in column and number[edit] in some:
            there = wanted[some.index(number[edit]), int(prompt), column[metric]]
            apart = max(apart, abs(float(there) - edited))
    return figure(f"small: difference from {name}", apart, "nats", near, at_most=True)


@torch.no_grad()
def no_noisier(job: Job, count: int = 8) -> bool:
    """Our impacts' distance from those of the same weights in float32, against a hooked forward's.

    In bfloat16 every rounding is seen in an answer, whoever makes it: each way has its own, and neither
    is the truth. Root mean squares over features, prompts and answers. The network is left in float32.
    """
    network, sae = job.run_context.model.network, job.run_context.saes(job.layer)
    some = job.features[:count]

    def hooked(feature: int) -> Tensor:
        column, row = sae.w_enc[:, feature], sae.w_dec[feature]

        def ablate(_block: Any, _args: Any, residual: Tensor) -> Tensor:
            moved = residual.float() - (residual.float() @ column)[..., None] * row
            return torch.cat([residual[:, :1], moved[:, 1:].to(residual.dtype)], 1)

        plain = logprobs(network(job.ids).logits, job.candidates)
        hook = Architecture(network).blocks[job.layer].register_forward_hook(ablate)
        try:
            edited = network(job.ids).logits
        finally:
            hook.remove()
        return logprobs(edited, job.candidates) - plain

    theirs = torch.stack([hooked(feature) for feature in some])
    impacts, *_ = replace(job, features=some).ours()
    column = {"log_p_correct": 0, "log_p_misconception": 1}
    number = {edit: i for i, edit in enumerate(dict.fromkeys(impacts.intervention_id))}
    ours = torch.full_like(theirs, torch.nan)
    for edit, prompt, metric, value in zip(
        impacts.intervention_id, impacts.prompt_id, impacts.metric, impacts.impact, strict=True
    ):
        if metric in column:
            ours[number[edit], int(prompt), column[metric]] = value
    network.float()
    exact = torch.stack([hooked(feature) for feature in some])
    error, their_error = (float((way - exact).square().mean().sqrt()) for way in (ours, theirs))
    print(
        f"  impacts of up to {float(exact.abs().max()):.4f} nats in float32: in bfloat16 ours are off by "
        f"{error:.5f}, a hooked forward's by {their_error:.5f}"
    )
    return figure(
        "large: our rounding / a hooked forward's", error / their_error, "x", 1.5, at_most=True
    )


def gemma_2_2b(**smaller: int) -> Any:
    """Random weights in bfloat16, in Gemma 2 2B's exact shape but for what is given; 5.2 GB."""
    config = Gemma2Config(**GEMMA_2_2B | smaller, attn_implementation="eager")  # type: ignore[arg-type]
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
    return network.eval().requires_grad_(False).to(place())
