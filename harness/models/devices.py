"""The device that a model is loaded on: as asked, or the best one that it fits on."""

import importlib.util

import torch

from harness.errors import CannotRun, Fault, InputError, nearest
from harness.models import requirements
from harness.models.loading import SPLIT
from harness.models.memory import free_memory

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", SPLIT)
SPARE = 0.8  # share of a device's free memory that a model may fill


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
            size, room = requirements.gigabytes(needed), requirements.gigabytes(free)
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
