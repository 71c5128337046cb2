-- What each prompt is without its scene, and how likely its two answers are after that.
ALTER TABLE prompts ADD COLUMN baseline VARCHAR;

CREATE TABLE baselines (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
    logprob DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

-- How an ablation's frozen features answer a contrast that has nothing to do with the trait.
CREATE TABLE decoys (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    decoy VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    pair_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    value DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

-- Which runs of other evals froze the features that a run's ablations edit.
ALTER TABLE runs ADD COLUMN feature_sources VARCHAR;
