-- What each ablation's edit, beside its controls', does to prompts that it is not meant for: of the other
-- variant, where `file` is empty, or of another file.
-- $run = latest: the run
SELECT ablation, file, metric, role, sets, prompts, mean_impact, mean_size, origin
FROM side_effect_summary
WHERE run_id = $run
ORDER BY ablation, file, metric, role DESC
