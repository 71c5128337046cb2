"""The whole pipeline at Gemma 2 2B's exact shape: where the time goes, and the most memory it takes.

`python -m benchmarks.pipeline [--quick] [--folder FOLDER] [--device DEVICE]`

The weights are random, in bfloat16 (5.2 GB), and so are five SAEs in GemmaScope's layout (302 MB a
file): both are written to a folder first and then loaded as real ones are, in a process of its own,
so that its peak memory is the pipeline's. The prompts are some of four families of `voices`; --quick takes
fewer.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM
from transformers.initialization import no_init_weights

from benchmarks.figures import figure
from harness.paths import bundled
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.spec_file import load

LAYERS = (0, 6, 12, 18, 24)
WIDTH, FEATURES = 2304, 16384


def main() -> int:
    """Write the files, run an eval on them, print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="16 prompts instead of 32")
    parser.add_argument(
        "--folder", type=Path, help="keep the 7 GB of files here, and use them again"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.folder, options.device)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        write_model(folder / "model")
        for layer in LAYERS:
            write_sae(folder / "saes", layer)
        write_spec(folder, 4 if options.quick else 8)
        command = [sys.executable, "-m", "benchmarks.pipeline", "--measure"]
        command += ["--folder", str(folder), "--device", options.device]
        # Threads wait as those of `harness run` do.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        return subprocess.run(command, env=environment, check=False).returncode


def write_model(folder: Path, **smaller: int) -> None:
    """Gemma 2 2B but for what is given, with random weights, and the organism's tokenizer."""
    if (folder / "model.safetensors").exists():
        return
    torch.manual_seed(0)
    config = Gemma2Config(dtype="bfloat16", attn_implementation="eager", **smaller)
    with no_init_weights():
        network = Gemma2ForCausalLM(config).to(torch.bfloat16)
    for name, parameter in network.named_parameters():
        norm = "norm" in name
        parameter.data.copy_(torch.zeros(()) if norm else torch.randn(parameter.shape) * 0.02)
    network.tie_weights()
    network.save_pretrained(folder, max_shard_size="20GB")
    AutoTokenizer.from_pretrained(bundled("fixtures", "organism")).save_pretrained(folder)


def write_sae(
    folder: Path,
    layer: int,
    width: int = WIDTH,
    features: int = FEATURES,
    active: float = 0.01,
) -> None:
    """A random SAE in GemmaScope's layout, about such a share of its features `active`."""
    path = folder / f"layer_{layer}" / "width_16k" / "average_l0_100" / "params.npz"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(layer)
    decoder = random.standard_normal((features, width), dtype=np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    # Along any direction of length 1 the stream is about normal. Each block adds what attention and MLP put
    # out, both normed to a variance of 1, to the embedding's, which is almost 1.
    threshold = NormalDist(0, (1 + 2 * (layer + 1)) ** 0.5).inv_cdf(1 - active)
    np.savez(
        path,
        W_enc=np.ascontiguousarray(decoder.T),
        W_dec=decoder,
        b_enc=np.zeros(features, np.float32),
        b_dec=np.zeros(width, np.float32),
        threshold=np.full(features, threshold, np.float32),
    )


def write_spec(folder: Path, prompts: int, layers: Sequence[int] = LAYERS) -> None:
    """So many prompts of each of four families of `voices`, on the files beside it."""
    text = (bundled("data", "voices.jsonl")).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    chosen = sorted({line["family"] for line in lines})[:4]
    some = [
        line
        for family in chosen
        for line in [line for line in lines if line["family"] == family][:prompts]
    ]
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    (folder / "few.yaml").write_text(
        f"""name: few
question: How long does it take?
targets:
  full-size: {{model: model, sae: saes, layers: {list(layers)}, dtype: bfloat16, stand_in: true}}
prompts: few.jsonl
balance: none
split: {{by: family, discovery: 0.5, seed: 42}}
contrast: {{alpha: 0.5}}
ablations:
  - {{name: top, select: {{top: 2, by: contrast}}, kind: zero, controls: 2}}
new_tokens: 2
claims:
  - {{name: moves, behaviour: logit_difference, contrast: true, direction: greater}}
""",
        encoding="utf-8",
    )


def measure(folder: Path, device: str) -> int:
    """Run the eval; print time by stage, what share the survey and the forward take, and the peak."""
    (folder / "results.duckdb").unlink(missing_ok=True)
    stages: dict[str, float] = defaultdict(float)
    busy: dict[str, float] = {}
    began: dict[str, tuple[float, float]] = {}
    forward = _Clock()

    def progress(stage: str, done: int, total: int) -> None:
        now = time.perf_counter(), time.process_time()
        if stage not in began:
            began[stage] = now
            forward.stage = stage
        if done == total:
            stages[stage], busy[stage] = (b - a for a, b in zip(began[stage], now, strict=True))

    with forward:
        outcome = run_eval(
            load(folder / "few.yaml"),
            "full-size",
            db=folder / "results.duckdb",
            how=How(device=device),
            progress=progress,
            say=lambda line: print(line, flush=True),
        )
    loading = outcome.seconds - sum(stages.values())
    for stage, seconds in {"load": loading, **stages}.items():
        print(f"{stage:<14}{seconds:8.1f} s, {busy.get(stage, 0.0):8.1f} s of the processor")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    share = forward.seconds["observe"] / stages["observe"]
    # Of a processor that others want as well, its own time: it is taken from none of the two alone.
    taken = stages if torch.cuda.is_available() else busy
    surveyed = taken["survey"] / taken["observe"]
    good = [
        figure("survey / observe", surveyed, "of 1", 1.0, at_most=True),
        figure("peak memory with five layers", peak / 1e9, "GB", 9, at_most=True),
        figure("the forward's share of the capture stage", share, "of 1", 0.8),
    ]
    if torch.cuda.is_available():
        print(f"on the GPU {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
    return 0 if all(good) else 1


class _Clock:
    """Time that passes inside the network itself, by stage."""

    def __init__(self) -> None:
        self.stage = ""
        self.seconds: dict[str, float] = defaultdict(float)

    def __enter__(self) -> None:
        self._plain: Any = Gemma2ForCausalLM.forward
        clock, plain = self, self._plain

        def timed(network: Any, *arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            output = plain(network, *arguments, **options)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            clock.seconds[clock.stage] += time.perf_counter() - start
            return output

        Gemma2ForCausalLM.forward = timed

    def __exit__(self, *_: object) -> None:
        Gemma2ForCausalLM.forward = self._plain


if __name__ == "__main__":
    raise SystemExit(main())
