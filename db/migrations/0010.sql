-- How many families lie as a claim says, with the interval of their share.
ALTER TABLE verdicts ADD COLUMN n_toward INTEGER;
ALTER TABLE verdicts ADD COLUMN share_low DOUBLE;
ALTER TABLE verdicts ADD COLUMN share_high DOUBLE;

-- How many features the selection's score could not order.
ALTER TABLE interventions ADD COLUMN tied INTEGER;

-- On what an ablation's impact depends.
CREATE TABLE moderators (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    term VARCHAR NOT NULL,
    level VARCHAR,
    estimate DOUBLE,
    ci_low DOUBLE,
    ci_high DOUBLE,
    p DOUBLE,
    method VARCHAR,
    n_rows INTEGER NOT NULL,
    n_families INTEGER NOT NULL,
    note VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);
