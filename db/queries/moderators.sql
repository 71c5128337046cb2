-- On what an ablation's impact depends: the dose, and the tags of the prompts. Exploratory, corrected for nothing.
-- $run = latest: the run
SELECT ablation, term, level, estimate, ci_low, ci_high, p, method, n_rows, n_families, note, origin
FROM moderators
WHERE run_id = $run
ORDER BY ablation, term <> 'dose', term, try_cast(level AS DOUBLE), level
