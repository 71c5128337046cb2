"""Sums over all of a stage's prompts, added up part by part in one order, wherever the parts were made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.runner.checkpoint import Checkpoint
from harness.runner.tasks import Crew, Done, HeardOf, Task

Sums = Mapping[str, Any]  # arrays and numbers by name
OF, DONE = "stage", "parts that are in it"
MOST = "most "  # begins the name of what is no sum, but the largest of all


def add_in_order(
    crew: Crew,
    parts: Sequence[Task],
    kept: Checkpoint,
    heard: HeardOf,
    ended: Callable[[Task], None],
    note: Callable[[Done], None],
) -> Sums:
    """What the parts return, added up to the bit in their order; what is there so far is `kept`.

    Raises what stopped one.
    """
    so_far = kept.load()
    stage = parts[0].stage
    if str(so_far.get(OF)) != stage:
        # Whoever was stopped between its rows and the end of its sums has left them.
        so_far = {OF: stage, DONE: 0}
    begin = int(so_far[DONE])
    for part in parts[:begin]:
        ended(part)
    for part, done in crew.results(parts[begin:], ordered=True, heard=heard):
        note(done)
        if done.error is not None:
            raise done.error
        so_far = added(so_far, done.value)
        so_far[DONE] = int(so_far[DONE]) + 1
        ended(part)
        if kept.is_due():
            kept.save(so_far)
    return so_far


def added(sums: Sums, more: Sums) -> dict[str, Any]:
    """Both together; what only one has is as it is there."""
    both = dict(sums)
    for name, value in more.items():
        if name not in sums:
            both[name] = value
        elif name.startswith(MOST):
            both[name] = np.maximum(sums[name], value)
        else:
            both[name] = sums[name] + value
    return both


def part_of(sums: Sums, head: str) -> dict[str, Any]:
    """Those whose names begin with a word, without it."""
    return {
        name.removeprefix(f"{head} "): value
        for name, value in sums.items()
        if name.startswith(f"{head} ")
    }
