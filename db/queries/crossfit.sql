-- What each split of the families says of a claim of several: of the set that is selected there, on its own confirming families.
-- $run = latest: the run
SELECT claim, ablation, split, seed, n_features, n_shared, n_units, estimate, ci_low, ci_high, unit, p, verdict, because, origin
FROM crossfit_splits
WHERE run_id = $run
ORDER BY claim, split
