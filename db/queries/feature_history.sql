-- The same feature across runs, the newest first.
-- $layer: the block that the SAE reads, from 0
-- $feature: its index
SELECT * EXCLUDE (hook) FROM feature_history($layer::INTEGER, $feature::INTEGER)
