"""Give many inputs to every reader; exits with 1 where one of them does what none may."""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.trials import SECONDS, Trial

AT_ONCE = 2_000  # inputs of a process: what leaks shows as memory that grows


def main() -> int:
    """Print what was tried, and each input that failed; where it is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz"), help="where inputs that fail are put"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, first, last = options.child
        return Trial(name, options.seed, options.keep).run(range(int(first), int(last)))
    each = max(1, options.inputs // len(options.only))
    failed = [name for name in options.only if not tried(name, options.seed, each, options.keep)]
    print(f"{each * len(options.only):,} inputs: {', '.join(failed) or 'nothing'} failed")
    return 1 if failed else 0


def tried(name: str, seed: int, inputs: int, keep: Path) -> bool:
    """Whether a reader did all that it may with so many inputs, in processes of their own."""
    good, first = True, 0
    while first < inputs:
        last = min(inputs, first + AT_ONCE)
        child = [sys.executable, "-m", "tests.fuzz", "--seed", str(seed), "--keep", str(keep)]
        done = subprocess.run([*child, "--child", name, str(first), str(last)], check=False)
        if done.returncode == 0:
            first = last
            continue
        good = False
        # A process that died has left the number of the input; it goes on after that.
        at = int((keep / f"{name}.now").read_text())
        print(f"{name} {at}, seed {seed}: status {done.returncode}, see {keep}", flush=True)
        first = at + 1
    print(
        f"{name}: {inputs:,} inputs, none over {SECONDS:g} s" if good else f"{name}: failed",
        flush=True,
    )
    return good


if __name__ == "__main__":
    sys.exit(main())
