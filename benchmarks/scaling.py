"""How a run grows: with workers, tasks, prompts, layers and ablations.

`nox -s bench_scaling`, or `python -m benchmarks.scaling [--quick] [--part PART]`. Two workers against one are
timed in turns; where other processes take the cores, that says little, and their CPU time stands beside it.
The driver alone is measured with workers that return what a few families' tasks returned once.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial

from benchmarks import scaling_cost, scaling_driver, scaling_workers

Part = Callable[[], list[bool]]
PARTS: dict[str, Part] = {
    "workers": partial(scaling_workers.two_against_one, 8, 5),
    "overhead": partial(scaling_workers.overhead, 10_000),
    "cost": partial(scaling_cost.exponents, 64, 3),
    "memory": partial(scaling_driver.memory, (10_000, 100_000, 1_000_000)),
    "driver": partial(scaling_driver.workers, (10, 100, 1_000), 40_000, 2.0),
}
QUICK: dict[str, Part] = {
    "workers": partial(scaling_workers.two_against_one, 2, 1),
    "overhead": partial(scaling_workers.overhead, 200),
    "cost": partial(scaling_cost.exponents, 4, 1),
    "memory": partial(scaling_driver.memory, (400, 2_000)),
    "driver": partial(scaling_driver.workers, (10,), 400, 2.0),
}


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, once")
    parser.add_argument("--part", choices=PARTS, help="this one alone")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(scaling_driver.measure(**json.loads(options.measure))))
        return 0
    parts = QUICK if options.quick else PARTS
    wanted = [options.part] if options.part else list(parts)
    held = [holds for name in wanted for holds in parts[name]()]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
