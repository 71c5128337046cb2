-- Families whose variants move the answer the other way than the run's mean; none, if all agree.
-- $run = latest: the run
SELECT * EXCLUDE (run_id, agrees)
FROM family_contrasts
WHERE run_id = $run AND NOT agrees
ORDER BY abs(difference) DESC
