"""What is measured of one prompt's two answers, by name: the metrics of the harness, and registered ones.

A metric is a function of the log-probabilities of the two answers, of `correct` first. One's own is an entry
point of the group `harness.metrics`, see `harness.stats.own_metrics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, TypeVar

from pydantic import Field, WithJsonSchema

from harness.specs.prompt import LABELS, Label
from harness.specs.variants import Variants

GROUP = "harness.metrics"
Metric = Annotated[
    str,
    Field(min_length=1),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_.-]*$"}),
]
Number = TypeVar("Number", bound=Any)  # one prompt's, or an array of many


@dataclass(frozen=True)
class MetricKind:
    """What a metric is: its unit, and which way it goes.

    `toward` is +1 where it grows as the answers move toward the positive one, -1 toward the other, and 0
    where it tells neither. `bounds` are its smallest and its largest value, if it has any.
    """

    unit: str = "nats"
    toward: int = 1
    bounds: tuple[float, float] | None = None


KINDS: Mapping[str, MetricKind] = {
    "logit_difference": MetricKind(),
    "log_p_correct": MetricKind(),
    "log_p_misconception": MetricKind(toward=-1),
    # What an edit does to log(p(correct) + p(misconception)): a difference does not show whether either still
    # is an answer.
    "log_mass": MetricKind(toward=0),
    "mass": MetricKind("probability", 0, (0.0, 1.0)),
    "accuracy": MetricKind("share", 1, (0.0, 1.0)),
    "kl": MetricKind(toward=0),
}
LOG_MASS, KL = "log_mass", "kl"
STORED = frozenset(KINDS) - {"mass", "accuracy"}  # of every edit, whatever its spec asks
RESERVED = frozenset({*KINDS, "top1_flips"})


def kind_of(metric: str, units: Mapping[str, str] | None = None) -> MetricKind:
    """What a metric is; of a registered one its own unit, among `units`, else its name.

    A registered metric is taken to grow toward the positive answer.
    """
    return KINDS.get(metric) or MetricKind((units or {}).get(metric) or metric)


def registered() -> dict[str, list[EntryPoint]]:
    """The metrics that installed distributions register, by name: more than one is one too many."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def valid_metrics(variants: Variants, *, edits: bool = False) -> list[str]:
    """The names that a spec may use, as it says them; `kl` only of edits."""
    mine = [variants.named(name) for name in KINDS if edits or name != KL]
    return [*mine, *sorted(registered())]


def metric_words(metric: str, variants: Variants) -> str:
    """A metric in words, where the variants are called so."""
    correct, other = (f"log p({variants.answer(role)})" for role in LABELS)
    words = {
        "logit_difference": f"{correct} - {other}",
        "log_p_correct": correct,
        "log_p_misconception": other,
        "log_mass": "the log of both answers' probability together",
        "mass": "the probability of both answers together",
        "accuracy": f"the share of prompts on which the {variants.answer('correct')} is the likelier one",
        "kl": "the distribution of what follows",
    }
    return words.get(metric, metric)


def attributed(metric: str) -> str:
    """What attribution predicts where impacts are measured in a metric: that, where it has a gradient."""
    return metric if metric in ("log_p_correct", "log_p_misconception") else "logit_difference"


def said_unit(metric: str) -> str:
    """The unit as it follows a number; nothing of a registered metric, whose function has it."""
    return f" {KINDS[metric].unit}" if metric in KINDS and metric != "accuracy" else ""


def metrics_of(sums: Mapping[Label, Number]) -> dict[str, Number]:
    """The metrics that need no more than a difference, from both answers' summed log-probabilities.

    logit_difference = log p(correct) - log p(misconception): the log-softmax's denominator is the
    same for both first tokens, so for one-token answers it is the difference of their logits.
    """
    return {
        "log_p_correct": sums["correct"],
        "log_p_misconception": sums["misconception"],
        "logit_difference": sums["correct"] - sums["misconception"],
    }
