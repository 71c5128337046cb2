"""The metrics of one prompt, in nats."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from harness.specs.prompt import Label

Metric = Literal["logit_difference", "log_p_correct", "log_p_misconception"]
METRIC_NAMES: Mapping[Metric, str] = {
    "logit_difference": "log p(right answer) - log p(misconception)",
    "log_p_correct": "log p(right answer)",
    "log_p_misconception": "log p(misconception)",
}
# What an edit does to log(p(correct) + p(misconception)): a difference does not show whether either still is
# an answer.
LOG_MASS = "log_mass"
Number = TypeVar("Number", bound=Any)  # one prompt's, or an array of many


def metrics_of(sums: Mapping[Label, Number]) -> dict[str, Number]:
    """Every metric from the summed log-probabilities of the two candidate answers.

    logit_difference = log p(correct) - log p(misconception): the log-softmax's denominator is the
    same for both first tokens, so for one-token answers it is the difference of their logits.
    """
    return {
        "log_p_correct": sums["correct"],
        "log_p_misconception": sums["misconception"],
        "logit_difference": sums["correct"] - sums["misconception"],
    }
