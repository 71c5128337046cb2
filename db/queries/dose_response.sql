-- What scaling the selected features does to the spec's metric, beside what it does to matched random
-- sets; 0 removes them, 1 leaves them.
-- $run = latest: the run
SELECT d.ablation, d.metric, d.dose, d.mean_impact, d.ci_low, d.ci_high, d.p, d.controls, d.exploratory, d.origin
FROM dose_response d
JOIN runs r USING (run_id)
WHERE d.run_id = $run AND d.metric = r.metric
ORDER BY d.ablation, d.dose
