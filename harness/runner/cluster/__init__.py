"""Tasks done by the workers of a Dask cluster: here, or wherever a scheduler is.

Only these files know Dask, which does the rest: who does what, what is done again, what is on the way.
"""
