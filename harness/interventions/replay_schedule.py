"""Which replays run together: many rows in each, little padding, and each with its baseline.

A job is one intervention on one row, from a block and a column on. A baseline job is the same replay
with nothing edited. In half precision the arithmetic depends on a forward's geometry by far more than
small impacts, so that there each job's baseline is replayed beside it, from the same column.
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
    with_baseline: bool = False  # its baseline job is in the same chunk


Length = Callable[[int, int], int]  # of a row and its first column: how many columns are computed


def baseline_job(job: Job) -> Job:
    """The same replay with nothing edited."""
    return Job(job.block, job.row, job.first, None)


def chunks(
    jobs: Sequence[Job], length: Length, *, tokens: int, rows: int
) -> Iterator[tuple[Job, ...]]:
    """Jobs, with their baselines, of one block and similar length: at most so many tokens and rows.

    A chunk of one job and its baseline may hold more tokens.
    """
    by_block: dict[int, list[Job]] = defaultdict(list)
    for job in share_baselines(jobs, length):
        by_block[job.block].append(job)
    for block in sorted(by_block):
        # Longest first: the first job of a chunk decides how long its rows are.
        ordered = sorted(
            by_block[block], key=lambda job: (-length(job.row, job.first), job.row, job.first)
        )
        chunk: list[Job] = []
        for job in ordered:
            alone = [baseline_job(job), job] if job.with_baseline else [job]
            # Jobs that begin alike share the baseline that is in the chunk already.
            wanted = [job] if job.with_baseline and alone[0] in chunk else alone
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
                chunk, wanted = [], alone
            chunk += wanted
        if chunk:
            yield tuple(chunk)


def share_baselines(jobs: Sequence[Job], length: Length) -> list[Job]:
    """The same jobs, some beginning earlier where that costs less than a baseline of their own."""
    shared = [job for job in jobs if not job.with_baseline]
    by_row: dict[tuple[int, int], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.with_baseline:
            by_row[job.block, job.row].append(job)
    for (_, row), members in by_row.items():
        starts = _merge_starts(Counter(job.first for job in members), partial(length, row))
        shared += [replace(job, first=starts[job.first]) for job in members]
    return shared


def _merge_starts(counts: Counter[int], cost: Callable[[int], int]) -> dict[int, int]:
    """Which column the jobs of each first column begin at instead, for the fewest columns in all.

    `counts` are the jobs of each first column of one row, `cost` how many columns a replay from there
    computes. Jobs that begin at the same column share one baseline. A group of neighbouring first
    columns begins at its lowest one, where every job and one baseline compute `cost(lowest)`: what is
    least is the sum over groups of (jobs + 1) * cost(lowest). A finer split has shorter replays, a
    coarser one has fewer baselines.
    """
    firsts = sorted(counts)
    # Dynamic programme: best[i] is of the lowest i first columns alone, their least cost and where the
    # last of their groups begins. That may be at any of them; what lies before is then best[start].
    best: list[tuple[int, int]] = [(0, 0)]
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
    # Back from the end, group by group.
    merged: dict[int, int] = {}
    end = len(firsts)
    while end:
        start = best[end][1]
        merged |= dict.fromkeys(firsts[start:end], firsts[start])
        end = start
    return merged
