"""What is known of the sets that a run edits: a part of each ablation's section."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.names import command
from harness.reports.known_sets import unasked_of
from harness.reports.run_data import Row, query_rows
from harness.reports.text import db_option
from harness.store.find_run import Run
from harness.store.frozen_sets import sets_of
from harness.store.interface import ReadStore


@dataclass(frozen=True)
class KnownPanel:
    """A set by its name, the claims about it on the run's target, and the questions nobody asked."""

    name: str
    claims: list[Row]
    unasked: tuple[str, ...]
    again: str


def known_panels(
    store: ReadStore, run: Run, ablations: Iterable[str], db: Path
) -> Mapping[str, KnownPanel]:
    """One for each ablation, of whatever eval froze its features."""
    return {one: _panel(store, run, _set_of(run, one), db) for one in ablations}


def _set_of(run: Run, ablation: str) -> str:
    source = sets_of(run).get(ablation)
    return f"{source.spec}/{source.ablation}" if source else f"{run['spec_name']}/{ablation}"


def _panel(store: ReadStore, run: Run, name: str, db: Path) -> KnownPanel:
    rows = query_rows(store, "known_of_set", set=name)
    claims = [
        row for row in rows if (row["target"], row["origin"]) == (run["target"], run["origin"])
    ]
    unasked = unasked_of(name, {row["question"] for row in claims})
    return KnownPanel(name, claims, tuple(unasked), command("show", name) + db_option(db))
