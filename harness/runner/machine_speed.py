"""How fast this machine does what a run spends its time on, measured in a moment, once a process."""

import hashlib
import time
from collections.abc import Callable
from functools import cache
from statistics import median

import torch

SHARE = 0.6  # of the speed of a bare matrix product that whole forwards reach
TRIED = 2**24  # bytes that are read to see how fast that is
CHAIN = 200  # operations in a row, one waiting for none


@cache
def product_speed(device: str, dtype: str, width: int) -> float:
    """Floating-point operations a second of a matrix product of the model's shape."""
    kind = getattr(torch, dtype)
    rows = 512 if device == "cpu" else 8192
    a = torch.randn(rows, width, device=device).to(kind)
    b = torch.randn(4 * width, width, device=device).to(kind).T
    # The result is waited for.
    return 2 * rows * width * 4 * width / _seconds(lambda: float((a @ b)[0, 0]))


@cache
def launch_seconds(device: str) -> float:
    """What one operation costs the host, which asks the device for it."""
    number = torch.ones((), device=device)

    def chain() -> None:
        found = number
        for _ in range(CHAIN):
            found = found + number
        float(found)

    return _seconds(chain) / CHAIN


@cache
def reading_speed() -> float:
    """Bytes of a file a second that are hashed, converted to float32 and looked through, without the disk."""
    content = bytearray(TRIED)

    def read() -> None:
        hashlib.sha256(content).digest()
        torch.frombuffer(content, dtype=torch.bfloat16).float().aminmax()

    return TRIED / _seconds(read)


def _seconds(work: Callable[[], object], rounds: int = 7) -> float:
    """The median of some times that it takes, after a first."""
    work()

    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return median(once() for _ in range(rounds))
