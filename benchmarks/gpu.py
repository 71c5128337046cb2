"""Everything about a GPU that can be measured on one: skips where there is none.

`python -m benchmarks.gpu [--quick] [--device cuda:0] [--folder FOLDER]`

Interventions beside the proof of concept's way, hooks, nnsight and SAELens (`benchmarks.interventions`),
then a whole eval at Gemma 2 2B's shape with random weights (`benchmarks.pipeline`): its time by stage,
the share of it in which the GPU works, the rows of a replay, and where the host waits for the GPU.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.counted_forwards import FORWARDS, ROWS, counted_forwards
from benchmarks.figures import figure
from benchmarks.pipeline import LAYERS, write_model, write_sae, write_spec
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.spec_file import load

EVERY = 100  # milliseconds between two looks at how busy the GPU is
PROMPTS = {True: 16, False: 32}  # of each of four families, by whether it is quick


def main() -> int:
    """Print every figure; 1 where one misses its bar. Without a GPU nothing is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cells, rounds and prompts")
    parser.add_argument("--device", default="cuda", help="such as cuda:1")
    parser.add_argument("--folder", type=Path, help="keep the 7 GB of files here")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing is measured")
        return 0
    print(f"{torch.cuda.get_device_name(options.device)}, torch {torch.__version__}")
    call = [sys.executable, "-m", "benchmarks.interventions", "--device", options.device]
    beside = subprocess.run([*call, *["--quick"] * options.quick], check=False).returncode
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        write_model(folder / "model")
        for layer in LAYERS:
            write_sae(folder / "saes", layer)
        write_spec(folder, PROMPTS[options.quick])
        held = whole_eval(folder / "few.yaml", "full-size", options.device)
    return 0 if all(held) and beside == 0 else 1


def whole_eval(spec: Path, target: str, device: str) -> list[bool]:
    """Run a spec on a device, for the second time, and print what that took and how busy it was."""
    # The first time fills the page cache and the library's own caches.
    for _ in range(2):
        seen = measure(spec, target, device)
    for stage, seconds in seen["stages"].items():
        print(f"  {stage:<16}{seconds:8.1f} s")
    for line, count in sorted(seen["waits"].items(), key=lambda item: -item[1])[:10]:
        print(f"  {count:>6} waits at {line}")
    waits = sum(seen["waits"].values()) / max(1, seen["forwards"])
    held = [
        figure("gpu: whole eval", seen["seconds"], "s", 120, at_most=True),
        figure("gpu: rows a replay", seen["rows"] / max(1, seen["replays"]), "rows", 20),
        figure("gpu: waits a forward", waits, "waits", 25, at_most=True),
    ]
    if seen["busy"]:
        held.append(figure("gpu: share of the time it is busy", fmean(seen["busy"]), "of 1", 0.3))
    else:
        print("  nvidia-smi is not there to say how busy the device is")
    return held


def measure(spec: Path, target: str, device: str) -> dict[str, Any]:
    """Run a spec: seconds, in all and by stage, `waits` by line, forwards, replays and their rows."""
    stages: dict[str, float] = {}
    began = time.perf_counter()

    def progress(stage: str, done: int, total: int) -> None:
        begun.setdefault(stage, time.perf_counter())
        if done == total:
            stages[stage] = time.perf_counter() - begun[stage]

    begun: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        counted_forwards() as counts,
        _waits(device) as waits,
        _busy(device) as busy,
    ):
        run_eval(
            load(spec),
            target,
            db=Path(scratch) / "results.duckdb",
            how=How(device=device),
            progress=progress,
        )
    return {
        "seconds": time.perf_counter() - began,
        "stages": stages,
        "waits": waits,
        "busy": busy,
        "forwards": sum(counts[name] for name in FORWARDS),
        "replays": counts["replay"],
        "rows": counts[ROWS],
    }


@contextmanager
def _waits(device: str) -> Iterator[Counter[str]]:
    """Where the host waits for a CUDA device, by line, as torch warns of it."""
    found = Counter[str]()
    if not device.startswith("cuda"):
        yield found
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
    finally:
        torch.cuda.set_sync_debug_mode(before)
    for warning in caught:
        if "synchroniz" in str(warning.message):
            found[f"{Path(warning.filename).name}:{warning.lineno}"] += 1


@contextmanager
def _busy(device: str) -> Iterator[list[float]]:
    """The share of each moment in which a GPU worked, as nvidia-smi tells; nothing where it is not there."""
    shares: list[float] = []
    number = torch.device(device).index or 0
    call = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    call += [f"--id={number}", f"--loop-ms={EVERY}"]
    try:
        process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    except OSError:
        yield shares
        return

    def read() -> None:
        for line in process.stdout or ():
            if line.strip().isdigit():
                shares.append(int(line) / 100)

    reader = threading.Thread(target=read, daemon=True)
    with process:
        reader.start()
        try:
            yield shares
        finally:
            process.terminate()
            reader.join()


if __name__ == "__main__":
    sys.exit(main())
