-- What an ablation does to each family beside what its controls do, in the spec's metric.
-- $run = latest: the run
-- $ablation = %: its name in the spec, or a pattern
SELECT f.ablation, f.family, f.metric, f.target, f.controls, f.target - f.controls AS beyond, f.origin
FROM impact_by_family f
JOIN runs r USING (run_id)
WHERE f.run_id = $run AND f.metric = r.metric AND f.ablation LIKE $ablation
ORDER BY f.ablation, abs(f.target) DESC, f.family
