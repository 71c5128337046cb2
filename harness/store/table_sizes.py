"""How many rows a run has in each table, and what a row takes: in memory, and in the results file."""

from dataclasses import dataclass

from harness.store.database import Store
from harness.store.parts.run_parts import stored_bytes
from harness.store.tables import TABLES

SAMPLE = 1000  # rows of a table that are weighed


@dataclass(frozen=True)
class RowSize:
    """A table's `rows` of a run; a row's `bytes` as Arrow has it, and those that are `stored` in the file."""

    rows: int
    bytes: float
    stored: float


def row_sizes(store: Store, run_id: str) -> dict[str, RowSize]:
    """The size of each table's rows of a run, by the table's name; of tables that have any.

    What is `stored` of a row is its bytes' share of the file, or of the parts, with all that is in it.
    Raises `CannotRun` where it cannot be read.
    """
    counts = " UNION ALL ".join(
        f"SELECT '{kind.table}', count(*), count(*) FILTER (run_id = $run) FROM {kind.table}"
        for kind in TABLES
    )
    rows, sizes, whole = {}, {}, 0.0
    for table, every, own in store.query(counts, {"run": run_id})[1]:
        if own:
            mine = f"FROM {table} WHERE run_id = $run LIMIT {SAMPLE}"
            sample = store.table(mine, {"run": run_id})
            rows[table], sizes[table] = own, sample.nbytes / len(sample)
            whole += every * sizes[table]
    share = stored_bytes(store.path) / whole if whole else 0.0
    return {name: RowSize(n, sizes[name], sizes[name] * share) for name, n in rows.items()}
