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

-- How many families lie as a claim says, with the interval of their share.
ALTER TABLE verdicts ADD COLUMN n_toward INTEGER;
ALTER TABLE verdicts ADD COLUMN share_low DOUBLE;
ALTER TABLE verdicts ADD COLUMN share_high DOUBLE;

-- How many features the selection's score could not order.
ALTER TABLE interventions ADD COLUMN tied INTEGER;

-- On what an ablation's impact depends.
CREATE TABLE moderators (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    term VARCHAR NOT NULL,
    level VARCHAR,
    estimate DOUBLE,
    ci_low DOUBLE,
    ci_high DOUBLE,
    p DOUBLE,
    method VARCHAR,
    n_rows INTEGER NOT NULL,
    n_families INTEGER NOT NULL,
    note VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);

-- What a registration is of: the model by its files, and the prompts that it confirms on. An exported run
-- of schema 9 came without its registration.
CREATE TABLE IF NOT EXISTS registrations (
    spec_hash VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    prompts_hash VARCHAR NOT NULL,
    spec_name VARCHAR NOT NULL,
    claims VARCHAR NOT NULL,
    registered_at TIMESTAMPTZ NOT NULL,
    seen VARCHAR
);

INSERT INTO registrations
SELECT spec_hash, target, origin, prompts_hash, any_value(spec_name),
    coalesce(json_extract(any_value(spec), '$.claims'), '[]'), min(created_at),
    arg_min(exploratory, created_at)
FROM runs
WHERE NOT starts_with(coalesce(exploratory, ''), 'limited to ') AND NOT EXISTS (
    SELECT 1 FROM registrations g
    WHERE g.spec_hash = runs.spec_hash AND g.target = runs.target AND g.origin = runs.origin
        AND g.prompts_hash = runs.prompts_hash
)
GROUP BY ALL;

ALTER TABLE registrations ADD COLUMN model_revision VARCHAR;
ALTER TABLE registrations ADD COLUMN model_hash VARCHAR;
ALTER TABLE registrations ADD COLUMN confirming VARCHAR[];

UPDATE registrations g
SET model_revision = r.model_revision, model_hash = r.model_hash, confirming = r.confirming
FROM (
    SELECT spec_hash, target, origin, prompts_hash, arg_min(model_revision, created_at) AS model_revision,
        arg_min(model_hash, created_at) AS model_hash,
        list(DISTINCT prompt ORDER BY prompt) FILTER (split = 'confirmation') AS confirming
    FROM runs JOIN prompts USING (run_id)
    GROUP BY spec_hash, target, origin, prompts_hash
) r
WHERE g.spec_hash = r.spec_hash AND g.target = r.target AND g.origin = r.origin
    AND g.prompts_hash = r.prompts_hash;
