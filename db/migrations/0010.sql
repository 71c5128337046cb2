-- What edits do where they are not meant to: to the other variant's prompts, and to those of other files.
CREATE TABLE other_prompts (
    run_id VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    pair_id VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    prompt VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,
    correct VARCHAR NOT NULL,
    misconception VARCHAR NOT NULL,
    line INTEGER NOT NULL,
    tags VARCHAR NOT NULL
);

CREATE TABLE side_effects (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    intervention_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    baseline DOUBLE NOT NULL,
    edited DOUBLE NOT NULL,
    impact DOUBLE NOT NULL,
    active BOOLEAN NOT NULL,
    origin VARCHAR NOT NULL
);
