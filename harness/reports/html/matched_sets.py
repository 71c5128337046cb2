"""Where the features came from that another eval froze: which of this run's stand for which of its own."""

from collections import defaultdict
from collections.abc import Mapping

from harness.reports.run_data import Row, query_rows
from harness.store.find_run import Run
from harness.store.interface import ReadStore


def matched_sets(store: ReadStore, run: Run) -> Mapping[str, list[Row]]:
    """By ablation a row for each feature that was frozen, where these were matched or some are left out."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in query_rows(store, "matched_features", run=run["run_id"]):
        found[row["ablation"]].append(row)
    return found
