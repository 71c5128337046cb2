"""What sets that other evals froze do here, beside what they did there."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.reports.run_data import Row, query_rows, rows_by_ablation, rows_with
from harness.specs.metrics import KINDS
from harness.store.find_run import Run
from harness.store.interface import ReadStore


@dataclass(frozen=True)
class TransferPanel:
    """The rows of an ablation's set by metric, and a sentence on the run's own metric."""

    rows: list[Row]
    says: str


def transfer_panels(store: ReadStore, run: Run) -> Mapping[str, TransferPanel]:
    """One for each ablation whose features another eval froze, where that run is in the store."""
    found = query_rows(store, "transfers", run=run["run_id"])
    rows = rows_by_ablation(rows_with(found, "here", "there"))
    return {name: TransferPanel(some, _says(some, run["metric"])) for name, some in rows.items()}


def _says(rows: list[Row], metric: str) -> str:
    row = next((one for one in rows if one["metric"] == metric), rows[0])
    kind = KINDS.get(row["metric"])
    unit = f" {kind.unit}" if kind else ""
    share = "" if row["share"] is None else f", {row['share']:.0%} of it"
    both = row["families_in_both"]
    left_out = f"; {both} that are in both are left out" if both else ""
    return (
        f"{row['here']:+.3g}{unit} here over {row['families_here']} families, {row['there']:+.3g} over "
        f"{row['families_there']} where the features were frozen{share}{left_out}"
    )
