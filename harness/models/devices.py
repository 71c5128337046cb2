"""What this machine can run: which target, on which device, and how many rows at a time."""

import importlib.util
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from harness import sources
from harness.faults import CannotRun, Fault, InputError, nearest
from harness.loading import SPLIT
from harness.model import LanguageModel
from harness.target import Target, load_targets

# Rows in a forward, at most: on a CPU small batches stay in its caches.
MOST_ROWS = {True: 16, False: 128}
DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", SPLIT)
SPARE = 0.8  # share of a device's free memory that a model may fill


def choose_target(
    targets: Mapping[str, Target], layers: Mapping[str, tuple[int, ...]], wanted: str = "auto"
) -> tuple[str, str]:
    """The target to run on, of a spec's targets and the layers it reads on each, and why.

    `auto`: a real model where it can run, else what lies on this machine.
    """
    if wanted != "auto":
        known = {**load_targets(), **targets}
        if wanted not in known:
            raise InputError(
                Fault(f"target {wanted}", "there is no such target", nearest(wanted, known))
            )
        return wanted, "as asked"
    reasons = []
    for name, target in targets.items():
        if sources.is_local(target):
            continue
        if not torch.cuda.is_available():
            reasons.append(f"no CUDA device for {name}")
        elif not sources.is_present(target, layers[name]):
            reasons.append(f"the weights of {name} are not here")
        else:
            return name, "its weights and a CUDA device are here"
    for name, target in targets.items():
        if sources.is_local(target):
            return name, ", ".join(reasons) or "it is the only one"
    raise CannotRun(
        Fault(
            ", ".join(targets),
            "; ".join(reasons),
            "name one with --target to run it all the same, or add `organism: {layers: all}`",
        )
    )


def choose_device(wanted: str, needed: int | None = None) -> tuple[str, str]:
    """A device for a model of `needed` bytes, and why.

    `auto` is CUDA where there is one that the model fits on; else the model is spread over it and
    main memory, where accelerate is installed; else the CPU. Apple's MPS comes before the CPU. Raises
    `InputError` for a kind that is not known, `CannotRun` for a device that is not there.
    """
    if wanted == SPLIT:
        return SPLIT, "as asked"
    if wanted == "auto":
        if torch.cuda.is_available():
            free = free_memory("cuda")
            if needed is None or free is None or needed <= SPARE * free:
                return "cuda", torch.cuda.get_device_name()
            size, room = sources.gigabytes(needed), sources.gigabytes(free)
            short = f"{size} do not fit into the {room} that are free on the GPU"
            if importlib.util.find_spec("accelerate"):
                return SPLIT, f"{short}: slower"
            return "cpu", f"{short}: very slow; with accelerate installed it would be spread"
        if torch.backends.mps.is_available():
            return "mps", "no CUDA device"
        return "cpu", "no CUDA device"
    try:
        torch.device(wanted)
    except RuntimeError:
        remedy = "did you mean 'cuda'?" if wanted.startswith("gpu") else nearest(wanted, DEVICES)
        raise InputError(Fault(f"device {wanted}", "there is none of that name", remedy)) from None
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CannotRun(
            Fault(f"device {wanted}", f"cannot be used: {reason}", "use --device cpu")
        ) from None
    return wanted, "as asked"


def free_memory(device: str) -> int | None:
    """Bytes that are free on a device; None where it does not say."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(li.split()[1]) for li in lines if li.startswith("MemAvailable")), None)


def rows_that_fit(model: LanguageModel, columns: int) -> int:
    """How many rows of so many tokens one forward takes in half of the free memory: a power of two."""
    device = model.device.type
    most = MOST_ROWS[device == "cpu"]
    free = free_memory(device) if device in ("cuda", "cpu") else None
    if free is None:
        return most
    fit = free // 2 // model.bytes_per_row(columns)
    return most if fit >= most else 2 ** max(0, fit.bit_length() - 1)


def peak_memory() -> tuple[int, int | None]:
    """The most main memory that this process held, and the most of the GPU's, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    main = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return main, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
