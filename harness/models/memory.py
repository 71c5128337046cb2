"""How much memory is free, what was used at most, and how many rows fit."""

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.models.language_model import LanguageModel
from harness.models.row_bytes import bytes_per_cached_row, bytes_per_read, bytes_per_row

# Rows in a forward, at most: on a CPU small batches stay in its caches.
LOGIT_BYTES = 2**27  # of distributions over the vocabulary that one forward may return
CACHED_BYTES = 2**28  # of residual stream, keys and values that a cached forward may keep
MOST_ROWS = {True: 16, False: 128}


def free_memory(device: str) -> int | None:
    """Bytes that are free on a device; None where it does not say."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    if device.startswith("mps"):
        # It shares the processor's memory, up to what the system recommends.
        most = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, int(most))
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(li.split()[1]) for li in lines if li.startswith("MemAvailable")), None)


def rows_that_fit(model: LanguageModel, columns: int) -> int:
    """How many rows of so many tokens one forward takes in half of the free memory: a power of two."""
    device = model.device
    free = free_memory(str(device)) if device.type in ("cuda", "cpu", "mps") else None
    return rows_within(free, model, columns, on_cpu=device.type == "cpu")


def rows_within(free: int | None, model: LanguageModel, columns: int, *, on_cpu: bool) -> int:
    """As `rows_that_fit`, where so many bytes are `free`; as many as are ever taken where it is None."""
    most = MOST_ROWS[on_cpu]
    if free is None:
        return most
    fit = free // 2 // bytes_per_row(model, columns)
    return most if fit >= most else 2 ** max(0, fit.bit_length() - 1)


def rows_replayed(model: LanguageModel, rows: int, *, on_cpu: bool) -> int:
    """How many whole rows' tokens a replay may have where a forward may have so many `rows`.

    In half precision each replay has the baselines of its rows in it: of twice the tokens fewer are repeated.
    A forward of another device has as many rows as fit.
    """
    return 2 * rows if on_cpu and model.network.dtype.itemsize < 4 else rows


def reads_within(model: LanguageModel, rows: int, *, on_cpu: bool) -> int:
    """How many distributions a replay may return where a forward may have so many `rows`.

    On a processor as many as fit into `LOGIT_BYTES`. Elsewhere `rows_that_fit` left room for more with
    every row, so that a replay may have as many distributions as make the device busy.
    """
    least = LOGIT_BYTES // bytes_per_read(model)
    return least if on_cpu else max(least, 8 * rows)


def cached_rows_within(
    model: LanguageModel, rows: int, columns: int, blocks: Sequence[int], *, on_cpu: bool
) -> int:
    """How many rows of so many columns share one cached forward, from which their edits are replayed.

    A processor is as fast with a few. Another device is faster the more replays of a block there are at a
    time; half of the `rows` of a forward take no more than a quarter of what was free for them.
    """
    least = max(1, CACHED_BYTES // bytes_per_cached_row(model, columns, blocks))
    return least if on_cpu else max(least, rows // 2)


def peak_memory() -> tuple[int, int | None]:
    """The most main memory that this process held, and the most of the GPU's, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    main = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    cards = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    # Of all cards together: a run may be on another one than the first, or on several.
    return main, sum(map(torch.cuda.max_memory_allocated, cards)) if cards else None
