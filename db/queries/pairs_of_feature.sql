-- The pairs that drive a feature (above) and those that oppose it (below).
-- $run = latest: the run
-- $layer: the block that the SAE reads, from 0
-- $feature: its index
SELECT * EXCLUDE (run_id) FROM pairs_of_feature($run, $layer::INTEGER, $feature::INTEGER)
