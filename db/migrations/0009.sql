-- What features do where an ablation edits, how like their target the control sets are there, each
-- claim's p corrected over the claims of its spec, and specs from when they were registered.
CREATE TABLE edit_activity (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    firing_rate DOUBLE NOT NULL,
    mean_activation DOUBLE NOT NULL,
    mean_value DOUBLE,
    decoder_norm DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE control_balance (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    property VARCHAR NOT NULL,
    target DOUBLE NOT NULL,
    controls DOUBLE NOT NULL,
    difference DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

ALTER TABLE verdicts ADD COLUMN p_holm DOUBLE;

CREATE TABLE registrations (
    spec_hash VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    prompts_hash VARCHAR NOT NULL,
    spec_name VARCHAR NOT NULL,
    claims VARCHAR NOT NULL,
    registered_at TIMESTAMPTZ NOT NULL,
    seen VARCHAR
);

-- A spec that was run was here since its first run, which says whether it could confirm.
INSERT INTO registrations
SELECT spec_hash, target, origin, prompts_hash, any_value(spec_name),
    coalesce(json_extract(any_value(spec), '$.claims'), '[]'), min(created_at),
    arg_min(exploratory, created_at)
FROM runs
WHERE NOT starts_with(coalesce(exploratory, ''), 'limited to ')
GROUP BY ALL;
