"""NaN and infinity are refused where they arise: in the residual stream, or in the scores."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.errors import CannotRun, Fault
from harness.models.forward_types import AnswerScores


def check_scores(answers: AnswerScores, dtype: str) -> None:
    """Raises `CannotRun` where a score, by row and answer (tokens,) in nats, is NaN or infinite."""
    if not all(bool(torch.isfinite(scores).all()) for row in answers for scores in row):
        raise CannotRun(
            Fault("the logits", f"they hold NaN or infinity in {dtype}", "run it in float32")
        )


def check_finite(streams: Mapping[int, Tensor], dtype: str) -> None:
    """Raises `CannotRun` naming the first layer whose residual stream holds NaN or infinity.

    `streams` by layer may have any shape; `dtype` is what the model computes in.
    """
    layers = sorted(streams)
    finite = [torch.isfinite(streams[layer]).all() for layer in layers]
    for layer, is_finite in zip(
        layers, torch.stack(finite).tolist() if finite else [], strict=True
    ):
        if not is_finite:
            raise CannotRun(
                Fault(
                    f"layer {layer}",
                    f"the residual stream after it holds NaN or infinity in {dtype}",
                    "run it in bfloat16 or float32"
                    if dtype == "float16"
                    else "check the model's weights",
                )
            )
