"""Plans and runs of which a results file knows that they were registered, or that their results were seen."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from harness.runner.provenance import model_here
from harness.specs.plan import Plan
from harness.store.database import Store
from harness.store.prompts import prompt_tables
from harness.store.tables.runs import Runs, Units

NOW = datetime.now(UTC)
MODEL = ("model_revision", "model_hash")


def changed(plan: Plan, **fields: Any) -> Plan:
    """The plan of the same prompts under a changed spec."""
    return dataclasses.replace(plan, spec=plan.spec.model_copy(update=fields))


def seen(
    store: Store,
    plan: Plan,
    run_id: str = "early",
    status: str = "finished",
    units: bool = False,
    done: datetime = NOW,
    **fields: Any,
) -> None:
    """A run of a plan whose results are in the store; with `units`, each family is `done` at a time."""
    row: dict[str, Any] = dict.fromkeys(Runs.names(), "1")
    row |= {
        "run_id": run_id, "status": status, "spec_name": plan.spec.name, "target": plan.target.name,
        "origin": plan.target.origin, "spec_hash": plan.spec.hash, "prompts_hash": plan.prompts_hash,
        "sae_hash": "s", "created_at": done, "finished_at": None, "layers": [1],
        "feature_sources": None, "neuronpedia": [None], "sae_files": ["f"], "sae_hashes": ["s"], "spec": plan.spec.canonical(),
        "git_dirty": False, "exploratory": None, **dict(zip(MODEL, model_here(plan.target), strict=True)),
    } | fields  # fmt: skip
    store.commit(Runs.of([row]), *prompt_tables(plan.prompts, plan.sides, run_id))
    if units:
        unit = dict.fromkeys(Units.names(), "") | {"run_id": run_id, "finished_at": done}
        store.commit(
            Units.of(
                unit | {"unit_id": family, "family": family, "seconds": 0.1}
                for family in plan.sides
            )
        )
