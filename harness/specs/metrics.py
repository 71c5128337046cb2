"""The metrics of one prompt, in nats."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from harness.specs.prompt import LABELS, Label
from harness.specs.variants import Variants

Metric = Literal["logit_difference", "log_p_correct", "log_p_misconception"]
# What an edit does to log(p(correct) + p(misconception)): a difference does not show whether either still is
# an answer.
LOG_MASS = "log_mass"
Number = TypeVar("Number", bound=Any)  # one prompt's, or an array of many


def metric_words(metric: Metric, variants: Variants) -> str:
    """A metric in words, where the variants are called so."""
    correct, other = (f"log p({variants.answer(role)})" for role in LABELS)
    words: Mapping[Metric, str] = {
        "logit_difference": f"{correct} - {other}",
        "log_p_correct": correct,
        "log_p_misconception": other,
    }
    return words[metric]


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
