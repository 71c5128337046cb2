-- What is known of a set: the same over several splits, with other dictionaries, and what it writes.

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
