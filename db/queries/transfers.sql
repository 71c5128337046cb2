-- What each set that another eval froze does here and did there, on average over the confirming prompts, by metric.
-- $run = latest: the run
SELECT ablation, metric, here, there, share, families_here, families_there, families_in_both, from_run, origin
FROM transfer_summary WHERE run_id = $run
ORDER BY ablation, metric
