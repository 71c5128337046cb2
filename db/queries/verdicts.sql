-- What became of each claim of a run.
-- $run = latest: the run
SELECT claim, verdict, estimate, ci_low, ci_high, unit, p, p_holm, alpha, because, exploratory, origin
FROM verdicts
WHERE run_id = $run
ORDER BY kind, claim
