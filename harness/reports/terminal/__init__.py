"""How results and progress look in a terminal and in a log.

Not here: what a verdict means, which `analysis.verdicts` decides. `width` needs nothing of the rest.
"""
