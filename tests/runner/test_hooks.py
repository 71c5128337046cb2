"""Runs of dictionaries at every site, from files in SAELens' layout to verdicts."""

import pytest

from harness.store.database import Store
from tests.helpers.cli import invoke
from tests.helpers.hooked_specs import FEATURES, HOOKS, KEPT, LAYERS, spec_of, write


@pytest.mark.parametrize("hook", HOOKS)
def test_a_run_reads_and_edits_at_the_hook_of_its_target(tmp_path, hook):
    for layer in LAYERS:
        write(tmp_path / "saes", hook, layer)
    spec = spec_of(tmp_path, hook)
    db = tmp_path / "results.duckdb"
    done = invoke("run", spec, "--db", db)
    assert done.exit_code in (0, 1), done.output
    with Store.open_to_read(db) as store:
        (row,) = store.table("SELECT hook, layers, noise_floor FROM runs").to_pylist()
        assert (row["hook"], row["layers"]) == (hook, list(LAYERS))
        health = store.table("SELECT layer, l0 FROM sae_health ORDER BY layer").to_pylist()
        most = FEATURES if hook == "transcoder" else KEPT
        assert [(one["layer"], 0 < one["l0"] <= most) for one in health] == [(2, True), (4, True)]
        moved = store.table(
            "SELECT max(abs(impact)) AS far FROM impacts JOIN interventions USING (run_id, intervention_id) "
            "WHERE role = 'target' AND metric = 'logit_difference'"
        ).to_pylist()[0]["far"]
        assert moved > 1e-3
        single = store.table(
            "SELECT t.mean_impact, t.predicted FROM ablation_tests t WHERE role = 'single' "
            "AND metric = 'logit_difference'"
        ).to_pylist()
    # To first order attribution predicts what removing one of these does.
    same = [one for one in single if one["mean_impact"] * one["predicted"] > 0]
    assert len(single) == 6
    assert len(same) >= 5
