-- Features token by token, and what Neuronpedia says of them.
CREATE TABLE prompt_tokens (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    part VARCHAR NOT NULL,
    token_id INTEGER NOT NULL,
    token VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE token_activations (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    position INTEGER NOT NULL,
    value FLOAT NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE feature_labels (
    source VARCHAR NOT NULL,
    feature INTEGER NOT NULL,
    label VARCHAR,
    explainer VARCHAR,
    fetched_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (source, feature)
);
