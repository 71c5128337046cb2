"""The results file: DuckDB, one writer, any number of readers. Its SQL lies in `db/`.

Not here: torch, and what the rows mean: they are tested in `analysis` and shown in `reports`.
"""
