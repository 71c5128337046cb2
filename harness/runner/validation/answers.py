"""Answers: whether each is scored as it is alone, by the model itself."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness.models.hooks import capture
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import PaddingSide, Tokens
from harness.models.plain_forward import furthest, logprobs_of
from harness.runner.validation.check import NATS_NEAR, Check, within


def answers(model: LanguageModel, rows: Sequence[Tokens]) -> Iterator[Check]:
    """Each answer alone against the plain forward, and beside others and padding against alone."""
    alone = [[_alone(model, row, answer) for answer in row.answers] for row in rows]
    plain = [
        [logprobs_of(model.network, row.prompt, answer) for answer in row.answers] for row in rows
    ]
    tokens = [len(answer) for row in rows for answer in row.answers]
    count = f"{len(tokens)} answers of {min(tokens)} to {max(tokens)} tokens"
    bound = NATS_NEAR[model.dtype]
    far = furthest(alone, plain)
    yield within(
        "log-probabilities", far, bound, f"{far:.1e} nats apart at most, of {count}",
        "an answer's tokens have those of a plain forward of prompt and answer, in nats to",
    )  # fmt: skip
    beside = [model.forward(model.batch([row]))[0] for row in rows]
    far = furthest(beside, alone)
    yield within(
        "branches", far, bound, f"{far:.1e} nats apart at most, of {count}",
        "an answer beside others has the score that it has alone, in nats to",
    )  # fmt: skip
    first = [Tokens(row.prompt, row.answers[:1]) for row in rows]
    sides: tuple[PaddingSide, ...] = ("left", "right")
    for side in sides:
        padded = model.forward(model.batch(first, side))
        far = furthest(padded, [row[:1] for row in alone])
        most = max(map(len, first)) - min(map(len, first))
        found = f"{far:.1e} nats apart at most, with up to {most} columns of padding"
        says = f"padding on the {side} changes no score, in nats beyond"
        yield within(f"padding {side}", far, bound, found, says)


def finite(model: LanguageModel, rows: Sequence[Tokens]) -> Iterator[Check]:
    """Whether the stream after every block, and every score, is a finite number."""
    wrong: list[int] = []
    for row in rows:
        seen: dict[int, Tensor] = {}
        (scores,) = model.forward(model.batch([row]), capture(range(model.depth), seen))
        wrong += [i for i, stream in seen.items() if not bool(torch.isfinite(stream).all())]
        if not all(bool(torch.isfinite(one).all()) for one in scores):
            wrong.append(model.depth)
    what = f"the stream after block {min(wrong, default=0)}"
    if wrong and min(wrong) == model.depth:
        what = "the logits"
    found = f"{what} holds NaN or infinity" if wrong else f"all of them, of {len(rows)} prompts"
    yield Check("finite", not wrong, found, f"streams and scores are numbers in {model.dtype}")


def _alone(model: LanguageModel, row: Tokens, answer: tuple[int, ...]) -> Tensor:
    ((scores,),) = model.forward(model.batch([Tokens(row.prompt, (answer,))]))
    return scores
