"""What the driver of a run takes: its memory by prompts, and its time by workers, without a model."""

import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import figure
from benchmarks.prompt_memory import lines
from benchmarks.recorded_tasks import record
from benchmarks.remembering import Clock, Memory, Remembering
from harness.runner.context import How
from harness.runner.in_process import InProcess
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.store.database import Store

SPEC = """\
name: many
question: Is it so?
targets: {organism: {layers: [LAYERS]}}
prompts: FILE
shortcuts: {allow: sizes alone are asked for}
new_tokens: 0
ablations: [{name: top, select: {top: 2, by: contrast}, kind: zero, controls: 2}]
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: exists, features: significant, at_least: 1}
  - {name: matters, ablation: top, direction: toward-correct}
"""
FEW = 16  # families that are recorded
GB = 2.0  # of the driver, at any number of prompts
ROWS = 20_000  # a second, that the driver takes in and stores
WORD = 0.003  # seconds that a scheduler takes for a task, as `overhead` measures
BUSY = 0.5  # share of the driver's time at 100 workers


def memory(sizes: tuple[int, ...]) -> list[bool]:
    """The most memory of a driver, and rows a second, of runs of so many prompts by workers who take no time.

    Each run is a process of its own, from reading the prompts to the verdicts. Rows are those of the results;
    the seconds are the driver's CPU time.
    """
    held = []
    for prompts in sizes:
        told = _measured({"prompts": prompts, "batch": 64})
        print(f"{prompts:,} prompts: {_words(told)}")
        name = f"driver at {prompts:,} prompts"
        held.append(figure(f"{name}: peak memory", told["gb"], "GB", GB, at_most=True))
        held.append(figure(f"{name}: rate", told["rows"] / told["busy"], "rows/s", ROWS))
    return held


def workers(numbers: tuple[int, ...], prompts: int, seconds: float) -> list[bool]:
    """The driver's busy share where so many workers take so many seconds for a task, and with what.

    In small groups, so that there are many tasks. The workers are imagined, and so is their time.
    """
    held = []
    for number in numbers:
        told = _measured({"prompts": prompts, "batch": 4, "workers": number, "seconds": seconds})
        used = told["worked"] / (number * told["now"])
        print(
            f"{number:,} workers, {seconds:g} s a task: workers at work {used:.0%}; {_words(told)}"
        )
        share = told["busy"] / told["now"]
        name = f"driver's busy share, {number:,} workers"
        held.append(figure(name, share, "of 1", BUSY if number <= 100 else 1.0, at_most=True))
    return held


def _words(told: dict[str, Any]) -> str:
    by = ", ".join(f"{what} {seconds:.1f}" for what, seconds in told["by"].items())
    return (
        f"{told['tasks']:,} tasks, {told['rows']:,} rows in {told['now']:.0f} s, of which the driver "
        f"computes {told['busy']:.1f} s ({by}); {told['gb']:.2f} GB; {told['wall']:.0f} s on this machine"
    )


def _measured(asked: dict[str, Any]) -> dict[str, Any]:
    """What `measure` tells, in a process that has never had a model."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        how = How(device="cpu", batch_size=asked["batch"], threads=1)
        few = write(folder / "few", 4 * FEW)
        memory = Memory(record(few, folder / "few.duckdb", InProcess(), how, "organism"))
        (folder / "memory.pickle").write_bytes(pickle.dumps(memory))
        asked = asked | {"folder": scratch}
        command = [sys.executable, "-m", "benchmarks.scaling", "--measure", json.dumps(asked)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def measure(
    folder: str, prompts: int, batch: int, workers: int = 0, seconds: float = 0.0
) -> dict[str, Any]:
    """Run an eval of so many prompts by imagined workers, who remember what is in a folder."""
    memory: Memory = pickle.loads(Path(folder, "memory.pickle").read_bytes())  # of this benchmark
    spec = write(Path(folder, "many"), prompts)
    clock, began = Clock(), time.perf_counter()
    engine = Remembering(memory, clock, workers=workers, seconds=seconds, word=WORD)
    with _commits(clock):
        run_eval(
            load(spec),
            "organism",
            db=Path(folder, "many.duckdb"),
            how=How(device="cpu", batch_size=batch, threads=1),
            engine=engine,
            progress=lambda *_: None,
        )
    of = {"now": clock.now, "busy": clock.busy, "wall": time.perf_counter() - began}
    by = dict(clock.by) | {"all else": of["busy"] - sum(clock.by.values())}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    of |= {"gb": peak, "rows": engine.rows, "tasks": engine.tasks, "worked": engine.worked}
    return of | {"by": by}


def write(folder: Path, prompts: int, layers: str = "3") -> Path:
    """A spec of so many prompts, in families of four; its path."""
    folder.mkdir()
    with (folder / "many.jsonl").open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines(prompts // 4))
    text = SPEC.replace("FILE", "many.jsonl").replace("LAYERS", layers)
    (folder / "many.yaml").write_text(text)
    return folder / "many.yaml"


@contextmanager
def _commits(clock: Clock) -> Iterator[None]:
    """The clock tells what commits take, while it lasts."""
    plain = Store.commit

    def timed(store: Store, *columns: Any) -> None:
        with clock.doing("commit"):
            plain(store, *columns)

    Store.commit = timed  # type: ignore[method-assign]
    try:
        yield
    finally:
        Store.commit = plain  # type: ignore[method-assign]
