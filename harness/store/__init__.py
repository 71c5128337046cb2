"""The results file: DuckDB, one writer, any number of readers. Its SQL lies in `db/`.

Not here: torch, and what is inferred from the rows: they are tested in `analysis`, shown in `reports`.
"""
