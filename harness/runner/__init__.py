"""One eval from its files to its verdicts: the only place that knows model, SAEs and store together.

Not here: how anything is computed, stored, printed or drawn; it decides the order and keeps the ledger.
"""
