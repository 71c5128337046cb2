-- Which site of its blocks a run's dictionaries are of; until here the stream after each.
ALTER TABLE runs ADD COLUMN hook VARCHAR;
UPDATE runs SET hook = 'resid_post';

-- How stable the sets are that ablations select: by feature, and as a whole.
CREATE TABLE selection_stability (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    share DOUBLE NOT NULL,
    half_share DOUBLE NOT NULL,
    selected BOOLEAN NOT NULL,
    rank_low INTEGER NOT NULL,
    rank_high INTEGER NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE selection_overlap (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    unit VARCHAR NOT NULL,
    n_units INTEGER NOT NULL,
    bootstraps INTEGER NOT NULL,
    jaccard DOUBLE NOT NULL,
    halvings INTEGER NOT NULL,
    halves DOUBLE NOT NULL,
    candidates INTEGER NOT NULL,
    origin VARCHAR NOT NULL
);

-- What a selected set must beat: edits as large along one direction, and the tests against them.
ALTER TABLE interventions ADD COLUMN baseline VARCHAR;

CREATE TABLE baseline_directions (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    baseline VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    dimension INTEGER NOT NULL,
    value DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE baseline_tests (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    baseline VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    n_pairs INTEGER NOT NULL,
    n_units INTEGER NOT NULL,
    target_impact DOUBLE NOT NULL,
    baseline_impact DOUBLE NOT NULL,
    difference DOUBLE NOT NULL,
    ci_low DOUBLE,
    ci_high DOUBLE,
    p DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

-- What the strongest tokens of an ablation's features are, what they do to these in neutral texts, and the tests.
CREATE TABLE injected_tokens (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    label VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    token VARCHAR NOT NULL,
    mean_activation DOUBLE NOT NULL,
    positions INTEGER NOT NULL,
    texts INTEGER NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE injections (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    placement VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    peak DOUBLE NOT NULL,
    at_tokens DOUBLE,
    origin VARCHAR NOT NULL
);

CREATE TABLE injection_tests (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    placement VARCHAR NOT NULL,
    layer INTEGER,
    feature INTEGER,
    base DOUBLE NOT NULL,
    injected DOUBLE NOT NULL,
    own DOUBLE NOT NULL,
    share DOUBLE,
    ci_low DOUBLE,
    ci_high DOUBLE,
    cohens_d DOUBLE,
    p DOUBLE,
    driven VARCHAR,
    n_texts INTEGER NOT NULL,
    n_units INTEGER NOT NULL,
    origin VARCHAR NOT NULL
);
