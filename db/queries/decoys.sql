-- How the features that each ablation edits answer contrasts that have nothing to do with the trait.
-- $run = latest: the run
SELECT ablation, file, decoy, layer, feature, pairs, families, correct, misconception, difference, origin
FROM decoy_summary
WHERE run_id = $run
ORDER BY ablation, file, decoy, layer, feature
