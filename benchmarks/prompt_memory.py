"""What prompts cost before anything is run: seconds and memory to read, check, plan, register and store them.

`nox -s bench_prompt_memory`, or `python -m benchmarks.prompt_memory [--quick]`. Files of 10^4, 10^5 and
10^6 prompts, families of two balanced pairs; each is worked through in a process of its own, whose steps are
timed one after the other. The memory is that of the whole process, torch and all.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import figure
from harness.analysis.shortcut_checks import findings_of
from harness.runner.exploratory import register
from harness.specs.plan import Plan
from harness.specs.spec_file import SpecFile, load
from harness.store.database import Store
from harness.store.prompts import prompt_tables

GIB, BASE = 2.0, 10_000  # the most memory at any size; the smallest size
SPEC = """\
name: many
question: Is it so?
targets: {mock: {layers: [0, 1]}}
prompts: FILE
new_tokens: 1
ablations: [{name: top, select: {top: 2, by: contrast}, kind: zero, controls: 2}]
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
"""


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10^3 and 10^4 prompts alone")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0
    sizes = (1_000, 10_000) if options.quick else (10_000, 100_000, 1_000_000)
    return 0 if all(driver_memory(sizes)) else 1


def driver_memory(sizes: tuple[int, ...]) -> list[bool]:
    """Print memory and prompts a second at each size, and how both grow; whether all bars are cleared."""
    held = []
    spent = {}
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            spec = write(Path(folder), n)
            command = [sys.executable, "-m", "benchmarks.prompt_memory", "--measure", spec]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        said = spent[n] = json.loads(done.stdout)
        for step, seconds in said["seconds"].items():
            print(
                f"{n:,} prompts, {step}: {seconds:.2f} s, then {said['mib'][step]:.0f} MiB at most"
            )
        total = sum(said["seconds"].values())
        name = f"{n:,} prompts read, checked, planned, registered and stored"
        held.append(figure(f"{name}: peak memory", said["gib"], "GiB", GIB, at_most=True))
        held.append(figure(f"{name}: rate", n / total, "prompts/s", 5_000))
    small, large = sizes[-2], sizes[-1]
    ratio = sum(spent[large]["seconds"].values()) / sum(spent[small]["seconds"].values())
    exponent = math.log(ratio) / math.log(large / small)
    name = f"exponent of time, {small:,} to {large:,} prompts"
    held.append(figure(name, exponent, "", 1.05, at_most=True))
    return held


def write(folder: Path, prompts: int) -> Path:
    """A spec of so many prompts, in families of four; its path."""
    with (folder / "many.jsonl").open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines(prompts // 4))
    (folder / "many.yaml").write_text(SPEC.replace("FILE", "many.jsonl"))
    return folder / "many.yaml"


def lines(families: int) -> Iterator[dict[str, Any]]:
    """Balanced families of two pairs each, with two tags; no words tell the variants apart."""
    for family in range(families):
        for question, answers in (
            ("velocity", ("zero", "not zero")),
            ("rate", ("not zero", "zero")),
        ):
            for label in ("correct", "misconception"):
                other = (family + (label == "correct")) % 2
                said = "careful" if other else "careless"
                yield {
                    "id": f"family-{family:07}-{question}-{label}",
                    "pair_id": f"family-{family:07}-{question}",
                    "family": f"family-{family:07}",
                    "label": label,
                    "prompt": f"A {said} reader says what is so of thing {family}. It rises, stands still "
                    f"for a moment and falls again. At the highest point of its path the {question} is",
                    "answer": answers[0] if label == "correct" else answers[1],
                    "expected_correct_answer": answers[0],
                    "tags": {"quantity": question, "voice": said},
                }


def measure(spec: Path) -> dict[str, Any]:
    """Seconds of every step, and the most memory of the process after each of them and in all."""
    seconds, mib = {}, {}
    found: dict[str, Any] = {}
    for step, work in STEPS.items():
        began = time.perf_counter()
        work(spec, found)
        seconds[step] = time.perf_counter() - began
        mib[step] = peak() / 2**10
    return {"seconds": seconds, "mib": mib, "gib": peak() / 2**20}


def peak() -> int:
    """The most memory that this process ever had, in KiB as Linux says it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read(spec: Path, found: dict[str, Any]) -> None:
    """Read and check the prompts."""
    found["file"] = load(spec)
    assert found["file"].prompts


def plan(_: Path, found: dict[str, Any]) -> None:
    """Decide sides, and check what follows."""
    file: SpecFile = found["file"]
    found["plan"] = file.plan()


def score(_: Path, found: dict[str, Any]) -> None:
    """Ask whether the prompts tell the variants apart without a model."""
    findings_of(found["file"])


def units(_: Path, found: dict[str, Any]) -> None:
    """Count the units of all stages, and make the ids of the largest one's."""
    made: Plan = found["plan"]
    assert made.n_units
    assert sum(len(unit.id) for unit in made.units("ablate", "top"))


def put(spec: Path, found: dict[str, Any]) -> None:
    """Register the spec, and store the rows of its prompts."""
    made: Plan = found["plan"]
    with Store.open(spec.with_suffix(".duckdb")) as store:
        register(store, made)
        store.commit(*prompt_tables(made.prompts, made.sides, "r", made.others))


STEPS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "read": read,
    "plan": plan,
    "shortcuts": score,
    "units": units,
    "register and store": put,
}


if __name__ == "__main__":
    sys.exit(main())
