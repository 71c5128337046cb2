"""What of an ablation's predicted effect lies in no feature of the dictionary: a table beside it."""

from collections import defaultdict
from collections.abc import Mapping

from harness.reports.run_data import Row, query_rows, rows_with
from harness.store.find_run import Run
from harness.store.interface import ReadStore


def attribution_errors(store: ReadStore, run: Run) -> Mapping[str, list[Row]]:
    """Each layer's rows, of discovering and of confirming families, by ablation that has attributions."""
    found: dict[str, list[Row]] = defaultdict(list)
    rows = query_rows(store, "attribution_errors", run=run["run_id"])
    for row in rows_with(rows, "features", "error", "constant"):
        found[row["ablation"]].append(row)
    return found
