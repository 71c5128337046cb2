"""One eval from its files to its verdicts: the only place that knows model, SAEs and store together.

Not here: tests and verdicts, SQL, and what is printed or drawn. It decides the order and keeps the ledger.
"""
