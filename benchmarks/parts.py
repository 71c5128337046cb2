"""Runs as Parquet parts beside the same runs in one DuckDB file: what is asked of one layer, and of all.

`nox -s bench_parts`, or `python -m benchmarks.parts [--quick]`. Rows are those of `benchmarks.store`.
"""

import argparse
import math
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.figures import figure, ratio, seconds
from benchmarks.store import Run, fill
from harness.store.database import Store
from harness.store.export.parquet_runs import export_parquet
from harness.store.export.parts import add_run
from harness.store.find_run import find_run
from harness.store.parts.layout import INDEX
from harness.store.parts.run_parts import stored_bytes

RUNS = 10
Rows = list[tuple[Any, ...]]
# By how much is asked, each of as few files as there can be.
ASKED = {
    "one layer of one run": (
        "SELECT count(*), count(DISTINCT feature), sum(value) FROM activations "
        "WHERE run_id = $run AND layer = 7"
    ),
    "one feature of one run": (
        "SELECT count(*), sum(value) FROM activations "
        "WHERE run_id = $run AND layer = 7 AND feature = 6839"
    ),
    "one feature of every run": (
        "SELECT run_id, count(*), sum(value) FROM activations "
        "WHERE layer = 7 AND feature = 6839 AND $run <> '' GROUP BY ALL ORDER BY ALL"
    ),
    "an ablation of one run": "SELECT * FROM impact_by_family WHERE run_id = $run ORDER BY ALL",
}

# What parts may lose to one file, which is open and knows where each run's rows are.
BARS = {
    "one layer of one run": 0.2,
    "one feature of one run": 0.15,
    "one feature of every run": 0.1,
    "an ablation of one run": 0.2,
}


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, fewer rounds")
    options = parser.parse_args()
    rounds, families = (5, 10) if options.quick else (15, 100)
    with tempfile.TemporaryDirectory() as name:
        held = compare(Path(name), [Run(number, families) for number in range(RUNS)], rounds)
    return 0 if all(held) else 1


def compare(folder: Path, runs: list[Run], rounds: int) -> list[bool]:
    """The same runs both ways: what a query of them takes, and what they take on the disk."""
    file, parts = folder / "results.duckdb", folder / "parts"
    fill(file, runs)
    held = [write(file, parts, runs)]
    with Store.open_to_read(file) as whole, Store.open_to_read(parts / INDEX) as divided:
        for what, sql in ASKED.items():
            given = {"run": runs[len(runs) // 2].id}
            ours, theirs = (partial(one.query, sql, given) for one in (divided, whole))
            check_equal(what, ours()[1], theirs()[1])
            times = ratio(ours, theirs, rounds)
            print(f"{what}, of {len(runs)}: {seconds(ours) * 1e3:.0f} ms in parts")
            held.append(figure(f"{what}, results file / parts", times, "x", BARS[what]))
    smaller = file.stat().st_size / stored_bytes(parts / INDEX)
    return [*held, figure("bytes, results file / parts", smaller, "x", 1)]


def write(file: Path, parts: Path, runs: list[Run]) -> bool:
    """Every run added to a folder of parts, and beside it exported as one file a table."""
    ours, theirs = [], []
    with Store.open_to_read(file) as store:
        for run in runs:
            line = find_run(store, run.id)
            other = file.with_name(run.id)
            other.mkdir()
            ours.append(seconds(partial(add_run, store, line, parts)))
            theirs.append(seconds(partial(export_parquet, store, line, other)))
    print(f"a run written in parts: {statistics.median(ours):.2f} s")
    times = statistics.median(one / each for one, each in zip(theirs, ours, strict=True))
    return figure("a run written, a file a table / parts", times, "x", 0.05)


def check_equal(what: str, ours: Rows, theirs: Rows) -> None:
    """Raises `AssertionError` where the two have other answers, or none."""
    close = partial(math.isclose, rel_tol=1e-9)
    same = len(ours) == len(theirs) > 0 and all(
        close(a, b) if isinstance(a, float) else a == b
        for mine, other in zip(ours, theirs, strict=True)
        for a, b in zip(mine, other, strict=True)
    )
    if not same:
        raise AssertionError(f"{what} has another answer in parts")


if __name__ == "__main__":
    sys.exit(main())
