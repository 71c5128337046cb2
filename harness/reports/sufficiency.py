"""Whether an ablation's set is enough, and each member needed: by it, the rest, and it without each."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from harness.reports.run_data import Row, query_rows
from harness.reports.text import sufficiency_text
from harness.store.find_run import Run
from harness.store.interface import ReadStore

_WORDS = {
    "target": "the selected set",
    "complement": "all other features of its layers",
    "without": "the set without",
}


@dataclass(frozen=True)
class SufficiencyPanel:
    """The rows of an ablation's set, of all other features and of the set without each, and a sentence."""

    rows: list[Row]
    says: str


def sufficiency_panels(store: ReadStore, run: Run) -> Mapping[str, SufficiencyPanel]:
    """One for each ablation that has a complement, or sets without a member."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in query_rows(store, "sufficiency", run=run["run_id"]):
        rows[row["ablation"]].append(row | {"what": _WORDS[row["role"]]})
    return {name: SufficiencyPanel(some, sufficiency_text(some)) for name, some in rows.items()}
