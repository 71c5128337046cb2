"""Rows in batches of similar length, as large as asked for until memory runs out, then smaller."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from harness.errors import CannotRun, Fault, Say
from harness.models.padded_batch import Tokens

T = TypeVar("T")
ENCODED = 1024  # positions that an SAE sees together, at most
ENCODED_BYTES = 2**29  # of feature values, and of what is made of them, that are held at once
OVERHEAD = 128  # columns that take as long as what each forward of a large model takes besides
POSITION_BYTES = 16  # of those, for each feature of a position
# What libraries say that had no memory for their workspace.
NO_WORKSPACE = ("alloc_failed", "cublas_status_not_initialized", "cusolver_status_not_initialized")


@dataclass
class BatchLimit:
    """How many rows a forward may have: `asked` for, and `rows` since memory last ran out.

    Mutable, and shared: all stages of a run hold the same limit, which is lowered where memory runs out
    and recovers with the next stage. The `lowest` that it was is what `runs.batch_size` stores. `asked`
    never changes, so that how units are grouped does not depend on when memory ran out.
    """

    asked: int
    say: Say = lambda _: None
    rows: int = 0
    lowest: int = 0

    def __post_init__(self) -> None:
        self.rows = self.rows or self.asked
        self.lowest = self.rows

    def positions(self, features: int) -> int:
        """How many positions are encoded together by an SAE of so many features, at least 1."""
        return max(1, ENCODED_BYTES * self.rows // self.asked // (POSITION_BYTES * features))

    def recover(self) -> None:
        """Allow as many rows as were asked for: another stage takes another amount of memory."""
        self.rows = self.asked

    def lower(self, full: str, tried: int = 0) -> None:
        """Halve it, or the number of rows that was `tried` if that is less.

        `full` is what the allocator said. Raises `CannotRun` where it is a single row already.
        """
        if self.rows == 1:
            raise CannotRun(
                Fault(
                    "memory",
                    f"it ran out with a single prompt in the batch: {full}",
                    "use another device, fewer layers or shorter prompts",
                )
            )
        self.rows = (tried if tried > 1 else self.rows) // 2
        self.lowest = min(self.lowest, self.rows)
        self.say(f"memory ran out: going on with {self.rows} rows at a time")
        release_memory()


def split_by_length(rows: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    """Indices of rows of similar length together, `size` at a time, whatever their order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i].prompt))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def split_by_padding(
    rows: Sequence[Tokens], size: int, overhead: int = OVERHEAD
) -> Iterator[list[int]]:
    """As `split_by_length`, and cut where fewer columns of padding save more than another forward takes.

    That is as long as so many columns of its own, the `overhead`.
    """

    def cut(part: list[int]) -> Iterator[list[int]]:
        lengths = [len(rows[i]) for i in part]
        columns = {
            at: at * lengths[at - 1] + (len(part) - at) * lengths[-1] for at in range(1, len(part))
        }
        at = min(columns, key=lambda one: columns[one], default=0)
        if at and columns[at] + overhead < len(part) * lengths[-1]:
            yield from cut(part[:at])
            yield from cut(part[at:])
        else:
            yield part

    for part in split_by_length(rows, size):
        yield from cut(part)


def map_batches(
    limit: BatchLimit,
    rows: Sequence[Tokens],
    work: Callable[[list[int]], T],
    most: int | None = None,
) -> Iterator[tuple[list[int], T]]:
    """The indices of rows of similar length, as many at a time as fit (and `most`), and their `work`.

    Where memory runs out the limit halves, for good, and the same rows are worked on again. Raises
    `CannotRun` where a single row does not fit.
    """

    def batches(left: Iterable[int]) -> list[list[int]]:
        indices = list(left)
        size = min(limit.rows, most or limit.rows)
        parts = split_by_length([rows[i] for i in indices], size)
        return [[indices[i] for i in part] for part in parts]

    waiting = batches(range(len(rows)))
    while waiting:
        chosen = waiting[0]
        try:
            result = work(chosen)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            full = str(error).strip().split("\n")[0]
        else:
            yield waiting.pop(0), result
            continue
        # Outside of the handler, whose traceback holds the tensors that did not fit.
        # What a single prompt's replays take falls with the limit too.
        limit.lower(full, len(chosen))
        waiting = batches(i for batch in waiting for i in batch)


def try_again(limit: BatchLimit, work: Callable[[], T]) -> T:
    """What `work` returns; where memory runs out in it, it is done again from its beginning with less.

    Raises `CannotRun` as `map_batches` does. What `work` adds up must begin anew with it.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            full = str(error).strip().split("\n")[0]
        limit.lower(full)  # outside of the handler, as above


@contextmanager
def memory_is_said(what: str) -> Iterator[None]:
    """Raises `CannotRun` where memory runs out in `what`, in which nothing can be made smaller."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        full = str(error).strip().split("\n")[0]
        remedy = "use another device, or one with more memory that is free"
        raise CannotRun(Fault("memory", f"it ran out {what}: {full}", remedy)) from None


def release_memory() -> None:
    """Give back what the allocators of devices hold and do not use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in any library's words."""
    # CUDA has its own class; a CPU's allocator and MPS say so only in words.
    words = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "out of memory" in words
        or "not enough memory" in words
        or any(phrase in words for phrase in NO_WORKSPACE)
    )
