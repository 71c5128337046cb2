"""The analysis of many families over many features: how long it takes, and the most memory.

`nox -s bench_wide_statistics`, or `python -m benchmarks.wide_statistics [--quick]`. A run of 20,000
families, half of which confirm, with 16,384 features in each of five layers and about 300 of them active on
a prompt, is written to a results file, rows drawn from a seed. Each step is then run on it in a process of
its own, so that peak memory is that step's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.figures import figure
from harness.analysis.pairs import read_pairs
from harness.analysis.run_analysis import analyse
from harness.analysis.selection import contrast_scores
from harness.analysis.selection_stability import BOOTSTRAPS, contrast_rule
from harness.specs.plan import Plan, make_plan
from harness.specs.prompt import LABELS, Prompt
from harness.specs.spec import Spec
from harness.specs.targets import load_targets
from harness.stats.stability import bootstraps
from harness.store.database import Store
from harness.store.tables.observations import FeatureActivity

RUN, LAYERS, ACTIVE = "wide", 5, 60  # active: of a layer, on a prompt
MOVED = 20  # features of a layer that the variants differ in
SPEC = {
    "name": "wide",
    "question": "Which features differ?",
    "targets": {"mock": {"layers": tuple(range(LAYERS))}},
    "prompts": "wide.jsonl",
    "ablations": ({"name": "top", "select": {"top": 10, "by": "contrast"}, "kind": "zero"},),
    "claims": ({"name": "any", "features": "significant", "at_least": 1},),
}


@dataclass(frozen=True)
class Size:
    """Families of both sides together, features of a layer, and the bars: seconds and GiB of every step."""

    families: int
    width: int
    seconds: float
    gib: float


FULL = Size(20_000, 16_384, 600, 4)
QUICK = Size(1_200, 512, 60, 1)


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,200 families and 2,560 features")
    parser.add_argument("--measure", nargs=2, metavar=("STEP", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    if options.measure:
        step, file = options.measure
        print(json.dumps(measure(step, Path(file), size)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "wide.duckdb")
        rows = write(file, size)
        print(f"{rows:,} rows of activations, {file.stat().st_size / 2**20:.0f} MiB")
        command = [sys.executable, "-m", "benchmarks.wide_statistics", *sys.argv[1:], "--measure"]
        held = []
        for step in STEPS:
            done = subprocess.run([*command, step, file], check=True, stdout=subprocess.PIPE)
            said = json.loads(done.stdout)
            held += report(step, size, said["seconds"], said["gib"])
    return 0 if all(held) else 1


def report(step: str, size: Size, seconds: float, gib: float) -> list[bool]:
    """Print the two figures of a step; whether they clear their bars."""
    name = f"{size.families // 2:,} families x {size.width * LAYERS:,} features, {step}"
    return [
        figure(f"{name}: time", seconds, "s", size.seconds, at_most=True),
        figure(f"{name}: peak memory", gib, "GiB", size.gib, at_most=True),
    ]


def measure(step: str, file: Path, size: Size) -> dict[str, float]:
    """Seconds of a step, and the most memory that this process ever had, in GiB."""
    plan = plan_of(size)
    with Store.open_to_read(file) as store:
        began = time.perf_counter()
        STEPS[step](store, plan)
        spent = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on Linux
    return {"seconds": spent, "gib": peak / 2**20}


def test_features(store: Store, plan: Plan) -> None:
    """All that `analyse` does on a run without ablations: both sides' rows of `feature_tests`."""
    spec = plan.spec.model_copy(update={"ablations": ()})
    bare = Plan(spec, plan.target, plan.layers, plan.prompts, plan.sides)
    analyse(store, bare, RUN, "mock")


def select(store: Store, plan: Plan) -> None:
    """What the discovering families rank the features by."""
    (ablation,) = plan.ablations
    discovery = read_pairs(store, plan, "discovery", RUN)
    contrast_scores(plan, ablation, discovery, store.read(FeatureActivity, RUN))


def resample(store: Store, plan: Plan) -> None:
    """The selection on bootstraps of the discovering families."""
    (ablation,) = plan.ablations
    discovery = read_pairs(store, plan, "discovery", RUN)
    rule = contrast_rule(plan, ablation, discovery, store.read(FeatureActivity, RUN))
    rule.choose(bootstraps(len(rule.names), BOOTSTRAPS, 0))


STEPS: dict[str, Callable[[Store, Plan], None]] = {
    "tests of both sides": test_features,
    "selection": select,
    f"{BOOTSTRAPS} bootstraps of the selection": resample,
}


def plan_of(size: Size) -> Plan:
    """Families of one pair each."""
    prompts = [
        Prompt(
            f"{i}-{label}", str(i), f"f{i:05}", label, f"{i} {label}", label, *LABELS, 2 * i + k + 1
        )
        for i in range(size.families)
        for k, label in enumerate(LABELS)
    ]
    return make_plan(Spec.model_validate(SPEC), load_targets()["mock"], prompts)


def write(file: Path, size: Size) -> int:
    """A results file with the rows of a run; how many activations there are."""
    prompts = [prompt.id for prompt in plan_of(size).prompts]
    n = 0
    with Store.open(file) as store:
        for layer in range(LAYERS):
            random = np.random.default_rng(layer)
            prompt, feature = firings(random, len(prompts), size.width)
            n += len(prompt)
            value = random.lognormal(size=len(prompt)).astype(np.float32)
            value[(feature < MOVED) & (prompt % 2 == 1)] *= 1.5
            ids = pa.DictionaryArray.from_arrays(pa.array(prompt), pa.array(prompts)).cast("string")
            columns = {"prompt_id": ids, "feature": feature, "value": value}
            constant = {
                "run_id": RUN,
                "layer": layer,
                "readout": "last_prompt_token",
                "origin": "mock",
            }
            of_all = {name: pa.repeat(one, len(prompt)) for name, one in constant.items()}
            store.insert({"activations": pa.table(columns | of_all)})
            store.commit(activity(layer, size.width))
    return n


def firings(
    random: np.random.Generator, prompts: int, width: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The prompt and feature of each active value of a layer: few features fire often, many seldom."""
    rate = 1 / np.arange(3, width + 3) ** 0.9
    rate = np.minimum(rate * ACTIVE / rate.sum(), 0.9)
    counts = random.binomial(prompts, rate)
    feature = np.repeat(np.arange(width), counts)
    at = np.unique(feature * prompts + random.integers(prompts, size=len(feature)))
    # As a run commits them: prompt by prompt.
    prompt, feature = at % prompts, at // prompts
    order = np.argsort(prompt, kind="stable")
    return prompt[order].astype(np.int32), feature[order].astype(np.int32)


def activity(layer: int, width: int) -> FeatureActivity:
    """Rows of how often features fire, of which the lengths of their directions are asked here."""
    same = {"firing_rate": 0.1, "mean_activation": 1.0, "decoder_norm": 1.0, "origin": "mock"}
    return FeatureActivity.filled(run_id=RUN, layer=layer, feature=np.arange(width), **same)


if __name__ == "__main__":
    sys.exit(main())
