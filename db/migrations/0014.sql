-- What is known of a set: the same over several splits, with other dictionaries, and what it writes.

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
