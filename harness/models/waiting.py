"""What is waited for, said every few seconds, whether it comes slowly or not at all."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import TextIO

from harness.characters import one_line
from harness.streams import shown

PATIENCE, EVERY = 2.0, 5.0  # seconds before the first line, and between lines


@dataclass
class Amount:
    """How many bytes have come, of how many; `total` is None where nobody knows."""

    done: int = 0
    total: int | None = None

    def __str__(self) -> str:
        if self.total:
            return f", {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
        return f", {self.done / 1e6:.0f} MB" if self.done else ""


@contextmanager
def waiting_for(what: str) -> Iterator[Amount]:
    """Lines on standard error until the block ends, as in "fetching model.safetensors, 12 of 302 MB".

    A thread writes them: what stalls would not. The block writes into the amount what has come. What
    ends within moments is not spoken of.
    """
    amount, ended = Amount(), Event()
    # Standard error as it is now: the block may redirect it.
    teller = Thread(
        target=_tell, args=(one_line(what), amount, ended, shown(sys.stderr)), daemon=True
    )
    teller.start()
    try:
        yield amount
    finally:
        ended.set()
        teller.join()


def _tell(what: str, amount: Amount, ended: Event, stream: TextIO) -> None:
    began, pause = time.monotonic(), PATIENCE
    while not ended.wait(pause):
        with suppress(OSError, ValueError):  # nobody listens any more
            stream.write(f"  {what}{amount} ({time.monotonic() - began:.0f} s)\n")
            stream.flush()
        pause = EVERY
