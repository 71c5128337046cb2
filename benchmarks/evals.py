"""What a user waits for: `harness check`, one eval, and the two ways to score and to replay.

`python -m benchmarks.evals [--quick]`
"""

import argparse
import statistics
import subprocess
import sys

import torch

from benchmarks.figures import figure, ratio, seconds
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import Batch, positions_of
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import first_read, suffix_of
from harness.paths import bundled
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer prompts and rounds")
    options = parser.parse_args()
    rounds = 3 if options.quick else 9
    held = [check(rounds)]
    model = load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))
    prompts = [p for p in load_prompts(bundled("data", "voices.jsonl")) if p.label == "correct"]
    prompts = prompts[: 32 if options.quick else 128]
    held += [side_by_side(model, prompts, rounds), replay(model, prompts, rounds)]
    return 0 if all(held) else 1


def check(rounds: int) -> bool:
    """The whole command, from its start to its end."""
    specs = sorted(map(str, bundled("evals").glob("*.yaml")))
    call = [sys.executable, "-m", "harness", "check", *specs]
    run = lambda: subprocess.run(call, check=True, capture_output=True)  # noqa: E731
    run()
    taken = statistics.median(seconds(run) for _ in range(rounds))
    print(f"harness check of {len(specs)} specs: {taken:.2f} s, median of {rounds}")
    return figure("harness check evals/*.yaml", taken, "s", 0.5, at_most=True)


def side_by_side(model: LanguageModel, prompts: list[Prompt], rounds: int) -> bool:
    """Both candidates in one row, against a row for each of them."""
    together = [model.tokens(p.text, p.correct, p.misconception) for p in prompts]
    apart = [model.tokens(p.text, a) for p in prompts for a in (p.correct, p.misconception)]
    size = 32

    def score(rows: list) -> None:  # type: ignore[type-arg]
        for start in range(0, len(rows), size):
            model.forward(model.batch(rows[start : start + size]))

    times = ratio(lambda: score(together), lambda: score(apart), rounds)
    print(f"scoring {len(prompts)} prompts: {times:.2f} times as fast as a row for each answer")
    return figure("candidates side by side / one row each", times, "x", 1.6)


def replay(model: LanguageModel, prompts: list[Prompt], rounds: int) -> bool:
    """An edit at the last prompt token of block 3, against a hooked forward of everything."""
    rows = [model.tokens(p.text, p.correct, p.misconception) for p in prompts[:32]]
    base, batch = cached_forward(model, rows, [3]), model.batch(rows)
    every = torch.arange(len(rows))
    tail = suffix_of(base.batch, base.reads, every, first_read(base.reads, base.batch.columns))
    edited = tail.of(base.residuals[3] + _nudge(base.batch))
    times = ratio(
        lambda: model.replay(base, tail, 3, edited),
        lambda: model.forward(batch, {3: lambda residual: residual + _nudge(batch)}),
        rounds,
    )
    print(f"an edit at the last prompt token: {times:.1f} times as fast as a hooked forward")
    return figure("replay / hooked forward, last prompt token", times, "x", 4.0)


def _nudge(batch: Batch) -> torch.Tensor:
    return positions_of(batch, "last_prompt_token").float()[..., None]


if __name__ == "__main__":
    sys.exit(main())
