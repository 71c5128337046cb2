"""Runs that do not fit one DuckDB file: a folder of Parquet parts by run and layer, under the same views.

A run's parts are written once, appear whole or not at all, and are only read afterwards. Not here: how they
are written and taken back, which is `store.export.run_parts`.
"""
