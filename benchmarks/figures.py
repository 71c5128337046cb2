"""How a benchmark measures and prints."""

import json
import statistics
import time
from collections.abc import Callable

from benchmarks.place import wait


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> float:
    """The median over rounds of theirs / ours in seconds: the two take turns, after a warm-up."""
    ours(), theirs()
    return statistics.median(seconds(theirs) / seconds(ours) for _ in range(rounds))


def seconds(work: Callable[[], object]) -> float:
    """The wall time of one call."""
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def figure(name: str, value: float, unit: str, bar: float, *, at_most: bool = False) -> bool:
    """Print one JSON line; returns whether the value clears its bar."""
    holds = bool(value <= bar if at_most else value >= bar)
    show(name, float(f"{value:.4g}"), unit, bar, holds)
    return holds


def show(name: str, value: float, unit: str, bar: float, holds: bool, **more: object) -> None:
    """Print one JSON line: a value beside what it is held against, and what else there is to say."""
    line = {"figure": name, "value": value, "unit": unit, "bar": bar, "holds": holds}
    print(json.dumps(line | more), flush=True)
