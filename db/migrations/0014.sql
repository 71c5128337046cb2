-- What is known of a set: the same over several splits, with other dictionaries, and what it writes.

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
