-- Every intervention of a run in the spec's metric: target, no-op, doses, single features, controls.
-- $run = latest: the run
SELECT * EXCLUDE (run_id, spec_name, target)
FROM ablation_summary
WHERE run_id = $run
