-- What features do where an ablation edits, how like their target the control sets are there, and each
-- claim's p corrected over the claims of its spec.
CREATE TABLE edit_activity (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    firing_rate DOUBLE NOT NULL,
    mean_activation DOUBLE NOT NULL,
    mean_value DOUBLE,
    decoder_norm DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE control_balance (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    property VARCHAR NOT NULL,
    target DOUBLE NOT NULL,
    controls DOUBLE NOT NULL,
    difference DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

ALTER TABLE verdicts ADD COLUMN p_holm DOUBLE;
