"""How much memory is free, what was used at most, and how many rows fit."""

import resource
import sys
from pathlib import Path

import torch

from harness.models.language_model import LanguageModel

# Rows in a forward, at most: on a CPU small batches stay in its caches.
LOGIT_BYTES = 2**27  # of distributions over the vocabulary that one forward may return
MOST_ROWS = {True: 16, False: 128}


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
