"""What a device's arithmetic may leave to chance or to speed, and that it does not."""

import os
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
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    flags = [
        (matmul, "allow_tf32"),
        (cudnn, "allow_tf32"),
        (matmul, "allow_bf16_reduced_precision_reduction"),
        (matmul, "allow_fp16_reduced_precision_reduction"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in flags]
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    try:
        for owner, name in flags:
            setattr(owner, name, False)
        if device.type != "cpu":
            # cuBLAS reads it when it is first used; without it torch warns that products may differ.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            memory.fill_uninitialized_memory = False  # nothing reads it
            torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
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


def _driver() -> str | None:
    """The version of NVIDIA's driver, as Linux tells it."""
    try:
        said = DRIVER.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"Kernel Module\D*([\d.]+)", said)
    return found[1] if found else None
