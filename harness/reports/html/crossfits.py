"""What each split of the families says of an ablation: of its own set, by its own families."""

from collections import defaultdict
from collections.abc import Mapping

from harness.reports.run_data import Row, query_rows
from harness.store.find_run import Run
from harness.store.interface import ReadStore


def crossfit_panels(store: ReadStore, run: Run) -> Mapping[str, list[Row]]:
    """The rows of each ablation's claims about several splits, by its name; none where nothing is claimed."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in query_rows(store, "crossfit", run=run["run_id"]):
        found[row["ablation"]].append(row)
    return found
