-- Interventions of every kind, impacts token by token, and whether an SAE fits its model.
ALTER TABLE sae_health ADD COLUMN loss DOUBLE;
ALTER TABLE sae_health ADD COLUMN loss_spliced DOUBLE;
ALTER TABLE sae_health ADD COLUMN loss_zeroed DOUBLE;
ALTER TABLE sae_health ADD COLUMN loss_recovered DOUBLE;
ALTER TABLE sae_health ADD COLUMN warning VARCHAR;
ALTER TABLE interventions ADD COLUMN source VARCHAR;
ALTER TABLE interventions ADD COLUMN value DOUBLE;
ALTER TABLE impacts ADD COLUMN source_id VARCHAR;
ALTER TABLE ablation_tests ADD COLUMN predicted DOUBLE;
ALTER TABLE ablation_tests ADD COLUMN rank_correlation DOUBLE;

CREATE TABLE impact_tokens (
    run_id VARCHAR NOT NULL,
    intervention_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
    token_index INTEGER NOT NULL,
    baseline DOUBLE NOT NULL,
    edited DOUBLE NOT NULL,
    kl DOUBLE NOT NULL,
    flipped BOOLEAN NOT NULL,
    origin VARCHAR NOT NULL
);
