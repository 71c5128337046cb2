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
