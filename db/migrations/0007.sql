-- What the features that are traced write to the logits by themselves.
CREATE TABLE feature_logits (
    run_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    side VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    token VARCHAR NOT NULL,
    logit FLOAT NOT NULL,
    origin VARCHAR NOT NULL
);
