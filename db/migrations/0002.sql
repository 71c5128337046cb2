-- False discovery rates and synergy.
ALTER TABLE feature_tests ADD COLUMN p_fdr DOUBLE;
ALTER TABLE feature_tests ADD COLUMN fdr_by_layer BOOLEAN;
ALTER TABLE ablation_tests ADD COLUMN synergy DOUBLE;
ALTER TABLE ablation_tests ADD COLUMN synergy_low DOUBLE;
ALTER TABLE ablation_tests ADD COLUMN synergy_high DOUBLE;
ALTER TABLE ablation_tests ADD COLUMN p_synergy DOUBLE;
