-- The noise of the device's arithmetic, against which every impact is held, and what it depends on.
CREATE TABLE impact_noise (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    difference DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

ALTER TABLE ablation_tests ADD COLUMN noise DOUBLE;
ALTER TABLE runs ADD COLUMN noise_floor DOUBLE;
ALTER TABLE runs ADD COLUMN arithmetic VARCHAR;
ALTER TABLE runs ADD COLUMN accelerator VARCHAR;
