"""What people write, checked, and all that follows from it before a weight is loaded. Plain data.

Not here: torch, numpy, scipy, duckdb, transformers, and anything that looks at a model or a result.
"""
