"""What a user waits for: `harness check`, one eval, and the two ways to score and to replay.

`python -m benchmarks.evals [--quick]`
"""

import argparse
import statistics
import subprocess
import sys

import torch

from benchmarks.figures import figure, ratio, seconds
from harness.models.forward_types import AnswerScores
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.logprobs import split_by_answer, token_logprobs
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import Batch, Tokens, positions_of
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import first_read, suffix_of
from harness.paths import bundled
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts

CLOSE = 1e-4  # nats


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
    held += side_by_side(model, prompts, rounds) + replay(model, prompts, rounds)
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


def side_by_side(model: LanguageModel, prompts: list[Prompt], rounds: int) -> list[bool]:
    """Both candidates in one row, against a row for each of them."""
    together = [model.tokens(p.text, p.correct, p.misconception) for p in prompts]
    apart = [model.tokens(p.text, a) for p in prompts for a in (p.correct, p.misconception)]
    size = 32

    def score(rows: list[Tokens]) -> torch.Tensor:
        parts = [model.batch(rows[start : start + size]) for start in range(0, len(rows), size)]
        return by_answer([row for part in parts for row in model.forward(part)])

    times = ratio(lambda: score(together), lambda: score(apart), rounds)
    print(f"scoring {len(prompts)} prompts: {times:.2f} times as fast as a row for each answer")
    return [
        figure("candidates side by side / one row each", times, "x", 1.6),
        agree(
            "candidates side by side: difference from one row each", score(together), score(apart)
        ),
    ]


def replay(model: LanguageModel, prompts: list[Prompt], rounds: int) -> list[bool]:
    """An edit at the last prompt token of block 3, against a hooked forward of everything."""
    rows = [model.tokens(p.text, p.correct, p.misconception) for p in prompts[:32]]
    base, batch = cached_forward(model, rows, [3]), model.batch(rows)
    every = torch.arange(len(rows))
    tail = suffix_of(base.batch, base.reads, every, first_read(base.reads, base.batch.columns))
    edited = tail.of(base.held[3] + _nudge(base.batch))
    ours = lambda: model.replay(base, tail, 3, edited)  # noqa: E731
    theirs = lambda: model.forward(batch, {3: lambda stream: stream + _nudge(batch)})  # noqa: E731
    times = ratio(ours, theirs, rounds)
    print(f"an edit at the last prompt token: {times:.1f} times as fast as a hooked forward")
    replayed = split_by_answer(token_logprobs(ours(), base.reads, every), base.reads.answer)
    return [
        figure("replay / hooked forward, last prompt token", times, "x", 4.0),
        agree("replay: difference from a hooked forward", by_answer(replayed), by_answer(theirs())),
    ]


def by_answer(scores: AnswerScores) -> torch.Tensor:
    """The log-probability of each answer of each row in turn, in nats."""
    return torch.stack([answer.sum() for row in scores for answer in row])


def agree(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether two ways to score the same answers find the same."""
    return figure(name, float((ours - theirs).abs().max()), "nats", CLOSE, at_most=True)


def _nudge(batch: Batch) -> torch.Tensor:
    return positions_of(batch, "last_prompt_token").float()[..., None]


if __name__ == "__main__":
    sys.exit(main())
