"""What features are in neutral texts with their strongest tokens: tables beside each ablation."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.reports.run_data import Row, query_rows
from harness.reports.text import injection_text, place_text
from harness.store.find_run import Run
from harness.store.interface import ReadStore


@dataclass(frozen=True)
class InjectionPanel:
    """The set and each of its features where the tokens do most, at one place, and a sentence on the set."""

    rows: list[Row]
    says: str


def injection_panels(store: ReadStore, run: Run) -> Mapping[str, InjectionPanel]:
    """One for each ablation whose tokens were put into neutral texts."""
    found: dict[str, list[Row]] = {}
    for row in query_rows(store, "token_injection", run=run["run_id"]):
        found.setdefault(row["ablation"], []).append(row)
    return {
        name: InjectionPanel(_strongest(rows), injection_text(rows)) for name, rows in found.items()
    }


def _strongest(rows: list[Row]) -> list[Row]:
    """Of each feature the row of the place where it is most active, in their order."""
    most: dict[str, Row] = {}
    for row in rows:
        if row["feature"] not in most or row["injected"] > most[row["feature"]]["injected"]:
            most[row["feature"]] = row | {"place": place_text(row)}
    return list(most.values())
