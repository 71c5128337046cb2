"""How results and progress look in a terminal and in a log.

Not here: what a verdict means, which `analysis.verdicts` decides. `excerpt`,
`failure` and `width` need no rich, and the import contract keeps it so.
"""
