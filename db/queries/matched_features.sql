-- What became of each feature of a set that another eval froze, where it was matched with this run's SAEs or left out.
-- $run = latest: the run
SELECT ablation, rank, layer, from_feature, feature, cosine, taken, from_run, origin
FROM matched_features WHERE run_id = $run
ORDER BY ablation, rank
