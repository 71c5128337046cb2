"""How stable the set is that an ablation selects: shares of bootstraps, and how far sets overlap."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.reports.run_data import Row, query_rows
from harness.reports.text import overlap_text
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.results import SelectionOverlap


@dataclass(frozen=True)
class StabilityPanel:
    """The selected features of an ablation, then others that often are, and a sentence on the sets."""

    rows: list[Row]
    says: str


def stability_panels(store: ReadStore, run: Run) -> Mapping[str, StabilityPanel]:
    """One for each ablation whose features families selected; none of runs of before this was computed."""
    rows = query_rows(store, "stability", run=run["run_id"])
    return {
        overlap["ablation"]: StabilityPanel(
            [row for row in rows if row["ablation"] == overlap["ablation"]], overlap_text(overlap)
        )
        for overlap in store.read(SelectionOverlap, run["run_id"]).rows()
    }
