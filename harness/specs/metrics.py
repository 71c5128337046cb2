"""The metrics of one prompt, in nats."""

from collections.abc import Mapping
from typing import Any, TypeVar

from harness.records import Label

Number = TypeVar("Number", bound=Any)  # one prompt's, or an array of many


def measures(sums: Mapping[Label, Number]) -> dict[str, Number]:
    """Every metric from the summed log-probabilities of the two candidate answers.

    logit_difference = log p(correct) - log p(misconception): the log-softmax's denominator is the
    same for both first tokens, so for one-token answers it is the difference of their logits.
    """
    return {
        "log_p_correct": sums["correct"],
        "log_p_misconception": sums["misconception"],
        "logit_difference": sums["correct"] - sums["misconception"],
    }
