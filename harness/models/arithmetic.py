"""What a device's arithmetic may leave to chance or to speed, and that it does not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

DRIVER = Path("/proc/driver/nvidia/version")


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Products in full precision, and sums that come out alike every time.

    TF32 and reductions in reduced precision are off. Elsewhere than on a processor, whose sums have an
    order, deterministic algorithms are asked for. All is as it was when the block ends.
    """
    flags = _flags()
    before = {name: getattr(flags[name], name.split(".")[1]) for name in flags}
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    try:
        for name, owner in flags.items():
            setattr(owner, name.split(".")[1], False)
        if device.type != "cpu":
            memory.fill_uninitialized_memory = False  # nothing reads it
            torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        for name, owner in flags.items():
            setattr(owner, name.split(".")[1], before[name])
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        memory.fill_uninitialized_memory = filled


def arithmetic(device: torch.device) -> str:
    """What `exact_arithmetic` sets on a device, as `runs.arithmetic` has it."""
    sums = "in their order" if device.type == "cpu" else "by deterministic algorithms"
    return f"TF32 off, reductions in full precision, sums {sums}"


def accelerator(device: torch.device) -> str | None:
    """Versions of what computes on a GPU, as `runs.accelerator` has them; None where nothing does."""
    if device.type != "cuda":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    driver = _driver()
    return (
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, "
        f"driver {driver or 'unknown'}, capability {major}.{minor}"
    )


def _flags() -> dict[str, object]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return {
        "matmul.allow_tf32": matmul,
        "cudnn.allow_tf32": cudnn,
        "matmul.allow_bf16_reduced_precision_reduction": matmul,
        "matmul.allow_fp16_reduced_precision_reduction": matmul,
    }


def _driver() -> str | None:
    """The version of NVIDIA's driver, as Linux tells it."""
    try:
        said = DRIVER.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"Kernel Module\D*([\d.]+)", said)
    return found[1] if found else None
