"""Paired inference over sparse features: pure functions of arrays."""

from harness.stats.effects import Effects, effects
from harness.stats.equivalence import Equivalence, equivalence
from harness.stats.intervals import MeanInterval, mean_interval
from harness.stats.max_t import MaxT, paired_max_t

__all__ = [
    "Effects",
    "Equivalence",
    "MaxT",
    "MeanInterval",
    "effects",
    "equivalence",
    "mean_interval",
    "paired_max_t",
]
