"""Rows in batches of similar length, as large as asked for until memory runs out, then smaller."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from harness.errors import CannotRun, Fault, Say
from harness.models.padded_batch import Tokens

T = TypeVar("T")


@dataclass
class BatchLimit:
    """How many rows a forward may have: `asked` for, and `rows` since memory last ran out.

    Mutable, and shared: all stages of a run hold the same limit, which `map_batches` lowers, never to go
    up again. What `rows` is at the end is what `runs.batch_size` stores. `asked` never changes, so that
    how units are grouped does not depend on when memory ran out.
    """

    asked: int
    say: Say = lambda _: None
    rows: int = 0

    def __post_init__(self) -> None:
        self.rows = self.rows or self.asked


def split_by_length(rows: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    """Indices of rows of similar length together, `size` at a time, whatever their order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i].prompt))
    for start in range(0, len(order), size):
        yield order[start : start + size]


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
            if not _out_of_memory(error):
                raise
            full = str(error).strip().split("\n")[0]
        else:
            yield waiting.pop(0), result
            continue
        # Outside of the handler, whose traceback holds the tensors that did not fit.
        # What a single prompt's replays take falls with the limit too.
        if limit.rows == 1:
            raise CannotRun(
                Fault(
                    "memory",
                    f"it ran out with a single prompt in the batch: {full}",
                    "use another device, fewer layers or shorter prompts",
                )
            )
        limit.rows = (len(chosen) if len(chosen) > 1 else limit.rows) // 2
        limit.say(f"memory ran out: going on with {limit.rows} rows at a time")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        waiting = batches(i for batch in waiting for i in batch)


def _out_of_memory(error: BaseException) -> bool:
    # CUDA has its own class; a CPU's allocator and MPS say so only in words.
    words = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "out of memory" in words
        or "not enough memory" in words
    )
