-- The pairs that drive a feature (above) and those that oppose it (below).
-- $run = latest: the run
-- $layer: the block whose output the SAE reads
-- $feature: its index
SELECT * EXCLUDE (run_id) FROM pairs_of_feature($run, $layer::INTEGER, $feature::INTEGER)
