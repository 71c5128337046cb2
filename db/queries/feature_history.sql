-- The same feature across runs, the newest first.
-- $layer: the block whose output the SAE reads
-- $feature: its index
FROM feature_history($layer::INTEGER, $feature::INTEGER)
