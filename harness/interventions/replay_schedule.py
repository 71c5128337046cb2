"""Which replays run together: many rows in each, little padding, and each with its baseline.

A job is one intervention on one row, from a block and a column on. A baseline for it is a job that
edits nothing. In half precision the arithmetic depends on a forward's geometry by far more than small
impacts, so that there each job's baseline, its twin, is replayed beside it from the same column.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial


@dataclass(frozen=True)
class Job:
    """Recompute a row after `block` from column `first` on, under an intervention or none."""

    block: int
    row: int
    first: int
    intervention: int | None
    twin: bool = False  # its baseline is replayed beside it


Length = Callable[[int, int], int]  # of a row and its first column: how many columns are computed


def chunks(
    jobs: Sequence[Job], length: Length, *, tokens: int, rows: int
) -> Iterator[tuple[Job, ...]]:
    """Jobs, with their twins, of one block and similar length: at most so many tokens and rows.

    A chunk of one job and its twin may hold more tokens.
    """
    by_block: dict[int, list[Job]] = defaultdict(list)
    for job in shared_starts(jobs, length):
        by_block[job.block].append(job)
    for block in sorted(by_block):
        # Longest first: the first job of a chunk decides how long its rows are.
        ordered = sorted(
            by_block[block], key=lambda job: (-length(job.row, job.first), job.row, job.first)
        )
        chunk: list[Job] = []
        for job in ordered:
            wanted = [job] if not job.twin or _twin(job) in chunk else [_twin(job), job]
            longest = length(chunk[0].row, chunk[0].first) if chunk else 0
            own = length(job.row, job.first)
            filled = longest * (len(chunk) + len(wanted))
            if chunk and (
                filled > tokens
                or len(chunk) + len(wanted) > rows
                # A third is full enough where the next one would only add padding.
                or (own < longest and 3 * longest * len(chunk) >= tokens)
            ):
                yield tuple(chunk)
                chunk, wanted = [], [_twin(job), job] if job.twin else [job]
            chunk += wanted
        if chunk:
            yield tuple(chunk)


def shared_starts(jobs: Sequence[Job], length: Length) -> list[Job]:
    """The same jobs, with twins shared where beginning earlier costs less than another twin."""
    found = [job for job in jobs if not job.twin]
    together: dict[tuple[int, int], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.twin:
            together[job.block, job.row].append(job)
    for (_, row), some in together.items():
        starts = _merged(Counter(job.first for job in some), partial(length, row))
        found += [replace(job, first=starts[job.first]) for job in some]
    return found


def _merged(counts: Counter[int], cost: Callable[[int], int]) -> dict[int, int]:
    """Each first column's shared one, so that sum over groups of (jobs + 1) * length is least."""
    firsts = sorted(counts)
    best: list[tuple[int, int]] = [
        (0, 0)
    ]  # of the first i columns: the cost, where its group begins
    for end in range(1, len(firsts) + 1):
        best.append(
            min(
                (
                    best[start][0]
                    + (1 + sum(counts[f] for f in firsts[start:end])) * cost(firsts[start]),
                    start,
                )
                for start in range(end)
            )
        )
    merged: dict[int, int] = {}
    end = len(firsts)
    while end:
        start = best[end][1]
        merged |= dict.fromkeys(firsts[start:end], firsts[start])
        end = start
    return merged


def _twin(job: Job) -> Job:
    return Job(job.block, job.row, job.first, None)
