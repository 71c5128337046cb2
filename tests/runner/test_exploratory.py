"""What makes a run exploratory."""

import dataclasses
from datetime import UTC, datetime

import pytest

from harness.runner.exploratory import reason_exploratory
from harness.specs.spec import Split
from harness.store.database import Store
from harness.store.tables.runs import Runs, Units
from tests.helpers.specs import ablation_plan

NOW = datetime.now(UTC)


@pytest.mark.parametrize("seen", [True, False])
def test_an_unfinished_run_counts_as_soon_as_rows_of_it_could_be_seen(tmp_path, seen):
    plan = ablation_plan()
    row = dict.fromkeys(Runs.names(), "1")
    row |= {
        "run_id": "early", "status": "unfinished", "spec_name": "demo", "target": "organism",
        "origin": plan.target.origin, "spec_hash": plan.spec.hash, "prompts_hash": plan.prompts_hash,
        "sae_hash": "s", "created_at": NOW, "finished_at": None, "layers": [1],
        "neuronpedia": [None], "sae_files": ["f"], "sae_hashes": ["s"],
        "git_dirty": False, "exploratory": None,
    }  # fmt: skip
    later = dataclasses.replace(plan, spec=plan.spec.model_copy(update={"split": Split(seed=1)}))
    with Store.open(tmp_path / "a.duckdb") as store:
        store.commit(Runs.of([row]))
        if seen:
            unit = dict.fromkeys(Units.names(), "") | {
                "run_id": "early", "finished_at": NOW, "seconds": 0.1,
            }  # fmt: skip
            store.commit(Units.of([unit]))
        assert (reason_exploratory(store, later, "s") == "the spec changed since run early") is seen
        assert reason_exploratory(store, plan, "s") is None
