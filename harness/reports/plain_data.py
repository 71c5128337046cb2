"""What is shown, as plain data for a script."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runner.outcome import Outcome
    from harness.runner.rerun import Repeated


def outcome_data(outcome: "Outcome") -> dict[str, Any]:
    """A run with its verdicts; what has no value is None."""
    return {
        "run_id": outcome.run_id,
        "spec": outcome.spec,
        "question": outcome.question,
        "target": outcome.target.name,
        "origin": outcome.target.origin,
        "evidence": outcome.is_evidence,
        "exploratory": outcome.exploratory,
        "all_supported": outcome.all_supported,
        "families": outcome.families,
        "seconds": outcome.seconds,
        "db": str(outcome.db),
        "warnings": list(outcome.warnings),
        "verdicts": [asdict(verdict) for verdict in outcome.verdicts],
    }


def repeated_data(repeated: "Repeated") -> dict[str, Any]:
    """A run and its repetition: whether they agree, table by table, and what else is not the same."""
    return {
        "first": repeated.first,
        "again": repeated.outcome.run_id,
        "agrees": repeated.agrees,
        "tables": [asdict(table) | {"agrees": table.agrees} for table in repeated.tables],
        "not_the_same": {name: {"then": a, "now": b} for name, (a, b) in repeated.facts.items()},
        "reasons": list(repeated.reasons),
        "verdicts": [asdict(verdict) for verdict in repeated.outcome.verdicts],
    }
