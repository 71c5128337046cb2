-- The noise floor of each ablation: what an edit that changes nothing seems to do to each metric.
-- $run = latest: the run
SELECT ablation, metric, count(*) AS prompts, median(difference) AS usual, max(difference) AS noise_floor,
       any_value(origin) AS origin
FROM impact_noise
WHERE run_id = $run
GROUP BY ablation, metric
ORDER BY ablation, metric
