"""Paired inference over sparse features: pure functions of arrays.

Not here: torch, the store, and what a result means for a claim, which `analysis` says.
"""

from harness.stats.bounded_means import bounded_mean_interval
from harness.stats.control_ranks import control_rank_p, residual_rank_p
from harness.stats.effects import Effects, effects
from harness.stats.equivalence import Equivalence, equivalence
from harness.stats.intervals import MeanInterval, mean_interval
from harness.stats.matched_controls import matched_sets
from harness.stats.max_t import MaxT, paired_max_t
from harness.stats.multiplicity import LayerFdr, fdr, hierarchical_fdr, holm
from harness.stats.power import effective_pairs, minimum_detectable, power, units_needed
from harness.stats.relabelling import (
    count_sets,
    leaf_size,
    leaves,
    relabelled_sets,
    standard_profiles,
)
from harness.stats.simultaneous_equivalence import (
    SimultaneousEquivalence,
    simultaneous_equivalence,
)
from harness.stats.source_arrangements import arranged_means
from harness.stats.synergy import Synergy, synergy

__all__ = [
    "Effects",
    "Equivalence",
    "LayerFdr",
    "MaxT",
    "MeanInterval",
    "SimultaneousEquivalence",
    "Synergy",
    "arranged_means",
    "bounded_mean_interval",
    "control_rank_p",
    "count_sets",
    "effective_pairs",
    "effects",
    "equivalence",
    "fdr",
    "hierarchical_fdr",
    "holm",
    "leaf_size",
    "leaves",
    "matched_sets",
    "mean_interval",
    "minimum_detectable",
    "paired_max_t",
    "power",
    "relabelled_sets",
    "residual_rank_p",
    "simultaneous_equivalence",
    "standard_profiles",
    "synergy",
    "units_needed",
]
