-- Where a run's time went.
-- $run = latest: the run
SELECT stage, ablation, count(*) AS units, sum(seconds) AS seconds, max(seconds) AS longest
FROM units
WHERE run_id = $run
GROUP BY stage, ablation
ORDER BY seconds DESC
