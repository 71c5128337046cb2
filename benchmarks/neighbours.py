"""A whole eval beside three busy processes, against the same eval alone, with the same threads.

Two figures: how many times as long it takes, and how many times as long where OpenMP's threads spin
while they wait, which is what torch does by itself. The orders take turns.

`python -m benchmarks.neighbours [--quick]`
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.figures import figure, seconds

NEIGHBOURS = 3


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller eval, once")
    options = parser.parse_args()
    limit, rounds = ("2", 1) if options.quick else ("8", 3)
    return 0 if all(beside(partial(_eval, limit), rounds)) else 1


def beside(work: Callable[..., float], rounds: int) -> list[bool]:
    """Time some work, which takes environment variables and returns seconds, alone and beside others."""
    ours: list[float] = []
    spinning: list[float] = []
    for _ in range(rounds):
        alone = work()
        with busy(NEIGHBOURS):
            ours.append(work() / alone)
            spinning.append(work(OMP_WAIT_POLICY="ACTIVE") / alone)
    slower, spun = statistics.median(ours), statistics.median(spinning)
    cores = os.cpu_count()
    print(
        f"beside {NEIGHBOURS} busy processes on {cores} cores: {slower:.1f} times as long as alone"
    )
    print(f"with threads that spin: {spun:.1f} times")
    return [
        figure("eval beside busy processes / alone", slower, "x", 3.0, at_most=True),
        figure("threads that spin / that sleep, beside busy processes", spun / slower, "x", 1.5),
    ]


def _eval(limit: str, **environment: str) -> float:
    """Seconds of `voices` on the organism, with a results file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return timed(eval_call("voices", limit, Path(folder, "results.duckdb")), **environment)


def eval_call(spec: str, limit: str, db: Path) -> list[str]:
    """What runs a spec on the organism."""
    call = [sys.executable, "-m", "harness", "run", spec, "--target", "organism"]
    return [*call, "--limit", limit, "--db", str(db)]


def timed(call: list[str], **environment: str) -> float:
    """Seconds of a command, in an environment that says of OpenMP's waiting only what is given."""
    whole = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | environment

    def run() -> None:
        # A trial's claims are unsupported, which is status 1.
        status = subprocess.run(call, capture_output=True, env=whole, check=False).returncode
        if status not in (0, 1):
            raise SystemExit(f"{' '.join(call[1:4])} ended with status {status}")

    return seconds(run)


@contextmanager
def busy(number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that want a core each, until the block ends."""
    call = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(call) for _ in range(number)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
