"""Rows of prompts as pairs: one beside the other, on their side."""

from harness.analysis.pairs import pair_activations
from harness.runner.stages.observe import observe
from harness.store.tables.observations import Activations
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan


def test_contrasted_pairs_are_aligned_and_keep_to_their_side():
    plan, run_context = ablation_plan(), a_run_context()
    tables = [t for t in observe(run_context, plan, plan.prompts) if isinstance(t, Activations)]
    rows = Activations.of(row for table in tables for row in table.rows())
    data = pair_activations(plan, "discovery", rows)
    assert set(data.units.of) == set(plan.families("discovery"))
    values = {(row["prompt_id"], row["layer"], row["feature"]): row["value"] for row in rows.rows()}
    pair = min(prompt.pair_id for prompt in plan.of("discovery"))
    assert data.features
    for column, (layer, feature) in enumerate(data.features):
        assert data.correct[0, column] == values.get((pair + "a", layer, feature), 0.0)
        assert data.misconception[0, column] == values.get((pair + "b", layer, feature), 0.0)
