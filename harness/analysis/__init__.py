"""From stored rows to estimates, tests, selections and verdicts.

Not here: torch, and the mathematics of a test, which is a pure function of arrays in `stats`.
"""
