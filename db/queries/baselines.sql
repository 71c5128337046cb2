-- What each ablation does beside edits as large along one direction: a mean difference, a probe, neurons.
-- $run = latest: the run
SELECT t.ablation, t.baseline, t.metric, t.target_impact, t.baseline_impact,
    t.difference, t.ci_low, t.ci_high, t.p, t.n_units, t.n_pairs, t.origin
FROM baseline_tests t JOIN runs r USING (run_id)
WHERE t.run_id = $run AND t.metric = r.metric
ORDER BY t.ablation, t.baseline
