"""How the CPU time of a run grows with its prompts, its layers and its ablations, in one process."""

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.figures import figure
from benchmarks.scaling_driver import write
from harness.runner.context import How
from harness.runner.in_process import InProcess
from harness.runner.run import run_eval
from harness.specs.spec_file import load

EXPONENT = 1.05
HOW = How(device="cpu", threads=1, batch_size=8)


def exponents(families: int, rounds: int) -> list[bool]:
    """The slope of CPU time by size, both in logarithms, of evals on the organism: the median of some rounds.

    What an eval takes whatever its size makes the slope smaller; what grows faster than its size, larger.
    """
    grown: Mapping[str, tuple[tuple[int, ...], Callable[[Path, int], Path]]] = {
        "prompts": ((4 * families, 8 * families, 16 * families), _prompts),
        "layers": ((1, 2, 4), partial(_layers, families)),
        "ablations": ((1, 2, 4), partial(_ablations, families)),
    }
    held = []
    place = InProcess()
    for what, (sizes, spec_of) in grown.items():
        slopes = []
        _taken(place, spec_of, sizes[0])
        for _ in range(rounds):
            taken = [_taken(place, spec_of, size) for size in sizes]
            told = ", ".join(f"{size}: {cpu:.2f} s" for size, cpu in zip(sizes, taken, strict=True))
            slopes.append(_slope(sizes, taken))
            print(f"CPU time by {what}: {told}; exponent {slopes[-1]:.2f}")
        median = statistics.median(slopes)
        held.append(figure(f"exponent of CPU time by {what}", median, "", EXPONENT, at_most=True))
    return held


def _taken(place: InProcess, spec_of: Callable[[Path, int], Path], size: int) -> float:
    """CPU seconds of a run, whose model is open."""
    with tempfile.TemporaryDirectory() as folder:
        file = load(spec_of(Path(folder, "spec"), size))
        began = time.process_time()
        run_eval(
            file,
            "organism",
            db=Path(folder, "r.duckdb"),
            how=HOW,
            engine=place,
            progress=lambda *_: None,
        )
        return time.process_time() - began


def _prompts(folder: Path, prompts: int) -> Path:
    return write(folder, prompts)


def _layers(families: int, folder: Path, layers: int) -> Path:
    return write(folder, 4 * families, ", ".join(map(str, range(layers))))


def _ablations(families: int, folder: Path, ablations: int) -> Path:
    spec = write(folder, 4 * families)
    text = spec.read_text()
    one = text[text.index("[{name: top") + 1 : text.index("controls: 2}]") + len("controls: 2}")]
    more = [one.replace("name: top", f"name: top{number}") for number in range(1, ablations)]
    spec.write_text(text.replace(one, ", ".join([one, *more])))
    return spec


def _slope(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Of a line by least squares."""
    slope, _ = statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(one) for one in seconds]
    )
    return slope
