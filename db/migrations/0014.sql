-- What is known of a set: the same over several splits, with other dictionaries, and what it writes.

CREATE TABLE crossfit_splits (
    run_id VARCHAR NOT NULL,
    claim VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    split INTEGER NOT NULL,
    seed BIGINT NOT NULL,
    n_features INTEGER NOT NULL,
    n_shared INTEGER NOT NULL,
    n_pairs INTEGER NOT NULL,
    n_units INTEGER NOT NULL,
    estimate DOUBLE,
    ci_low DOUBLE,
    ci_high DOUBLE,
    unit VARCHAR NOT NULL,
    p DOUBLE,
    verdict VARCHAR NOT NULL,
    because VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);

-- Features of other evals' sets: which of another dictionary are taken in their place, and which are left out.
CREATE TABLE matched_features (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER,
    from_feature INTEGER NOT NULL,
    from_run VARCHAR NOT NULL,
    cosine DOUBLE,
    taken BOOLEAN NOT NULL,
    origin VARCHAR NOT NULL
);

-- What of a predicted effect lies in no feature of the dictionary.
CREATE TABLE attribution_errors (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    features DOUBLE NOT NULL,
    error DOUBLE NOT NULL,
    constant DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

-- Whether the tokens that a feature writes by itself come out when it is amplified.
CREATE TABLE output_scores (
    run_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    score DOUBLE NOT NULL,
    base DOUBLE NOT NULL,
    added DOUBLE NOT NULL,
    n_texts INTEGER NOT NULL,
    origin VARCHAR NOT NULL
);

-- What the same selection finds in a random dictionary: features that a set must beat.
CREATE TABLE random_features (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    score DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL,
    firing_rate DOUBLE NOT NULL,
    mean_value DOUBLE,
    factor DOUBLE NOT NULL,
    edit_size DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

-- Sequences of tokens that are put into neutral texts as one; until here single tokens.
ALTER TABLE injected_tokens ADD COLUMN gram INTEGER DEFAULT 1;
ALTER TABLE injected_tokens ADD COLUMN before INTEGER[] DEFAULT [];
ALTER TABLE injected_tokens ALTER COLUMN gram SET NOT NULL;
ALTER TABLE injected_tokens ALTER COLUMN before SET NOT NULL;
ALTER TABLE injected_tokens ALTER COLUMN gram DROP DEFAULT;
ALTER TABLE injected_tokens ALTER COLUMN before DROP DEFAULT;
ALTER TABLE injection_tests ADD COLUMN gram INTEGER DEFAULT 1;
ALTER TABLE injection_tests ALTER COLUMN gram SET NOT NULL;
ALTER TABLE injection_tests ALTER COLUMN gram DROP DEFAULT;
ALTER TABLE injections ADD COLUMN gram INTEGER;
UPDATE injections SET gram = 1 WHERE placement <> '';
