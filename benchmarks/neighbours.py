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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import figure, seconds

NEIGHBOURS = 3


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller eval, once")
    options = parser.parse_args()
    limit, rounds = ("2", 1) if options.quick else ("8", 3)
    ours: list[float] = []
    spinning: list[float] = []
    for _ in range(rounds):
        alone = _eval(limit)
        with _busy(NEIGHBOURS):
            ours.append(_eval(limit) / alone)
            spinning.append(_eval(limit, OMP_WAIT_POLICY="ACTIVE") / alone)
    slower, spun = statistics.median(ours), statistics.median(spinning)
    cores = os.cpu_count()
    print(
        f"beside {NEIGHBOURS} busy processes on {cores} cores: {slower:.1f} times as long as alone"
    )
    print(f"with threads that spin: {spun:.1f} times")
    held = [
        figure("eval beside busy processes / alone", slower, "x", 3.0, at_most=True),
        figure("threads that spin / that sleep, beside busy processes", spun / slower, "x", 1.5),
    ]
    return 0 if all(held) else 1


def _eval(limit: str, **environment: str) -> float:
    """Seconds of `harness run voices` on the organism, in a process and a results file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-m", "harness", "run", "voices", "--target", "organism"]
        call += ["--limit", limit, "--db", str(Path(folder, "results.duckdb"))]
        whole = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | environment

        def run() -> None:
            # A trial's claims are unsupported, which is status 1.
            status = subprocess.run(call, capture_output=True, env=whole, check=False).returncode
            if status not in (0, 1):
                raise SystemExit(f"harness run ended with status {status}")

        return seconds(run)


@contextmanager
def _busy(number: int) -> Iterator[None]:
    """So many processes that want a core each, until the block ends."""
    call = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(call) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
