-- How often resamples of the discovering families select each feature of an ablation, and the range of its ranks.
-- $run = latest: the run
-- $least = 0.1: the smallest share of a feature that was not selected
SELECT ablation, layer, feature, selected, share, half_share, rank_low, rank_high, jaccard, halves, n_units, unit, s.origin
FROM selection_stability s JOIN selection_overlap o USING (run_id, ablation)
WHERE run_id = $run AND (selected OR share >= $least::DOUBLE)
ORDER BY ablation, selected DESC, share DESC, rank_low, rank_high, layer, feature
