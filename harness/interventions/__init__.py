"""Edits of the residual stream, and the replays that measure what they do to the answers.

Not here: which features are edited, which `analysis.selection` chooses, and the store.
"""

from harness.interventions.edits import Edit, apply, gain_and_shift

__all__ = ["Edit", "apply", "gain_and_shift"]
