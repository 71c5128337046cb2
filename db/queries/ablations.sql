-- Every intervention of a run in the spec's metric: target, no-op, doses, single features,
-- controls, random directions, sources of other families, baselines.
-- $run = latest: the run
SELECT * EXCLUDE (run_id, spec_name, target, hook)
FROM ablation_summary
WHERE run_id = $run
