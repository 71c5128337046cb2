-- The tables of the results file; `migrations/` bring an older file here. Meanings, units and nulls:
-- db/README.md.

-- One line a version that the file has had; `views` is a hash of the views and macros in it.
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, views VARCHAR);
INSERT INTO schema_version VALUES (6, NULL);

CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY,
    content VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    spec_name VARCHAR NOT NULL,
    spec_hash VARCHAR NOT NULL,
    spec VARCHAR NOT NULL,
    spec_path VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    exploratory VARCHAR,
    prompts_path VARCHAR NOT NULL,
    prompts_hash VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    model_revision VARCHAR,
    model_hash VARCHAR,
    sae VARCHAR NOT NULL,
    sae_revision VARCHAR,
    sae_hash VARCHAR NOT NULL,
    sae_files VARCHAR[] NOT NULL,
    sae_hashes VARCHAR[] NOT NULL,
    layers INTEGER[] NOT NULL,
    readout VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    alpha DOUBLE NOT NULL,
    seed BIGINT NOT NULL,
    device VARCHAR NOT NULL,
    dtype VARCHAR NOT NULL,
    attention VARCHAR NOT NULL,
    padding_side VARCHAR NOT NULL,
    batch_size INTEGER NOT NULL,
    code_hash VARCHAR NOT NULL,
    git_commit VARCHAR,
    git_dirty BOOLEAN,
    harness_version VARCHAR NOT NULL,
    python_version VARCHAR NOT NULL,
    torch_version VARCHAR NOT NULL,
    transformers_version VARCHAR NOT NULL,
    numpy_version VARCHAR NOT NULL,
    scipy_version VARCHAR NOT NULL,
    duckdb_version VARCHAR NOT NULL,
    platform VARCHAR NOT NULL,
    wall_seconds DOUBLE,
    peak_memory BIGINT,
    peak_device_memory BIGINT,
    neuronpedia VARCHAR[],
    threads INTEGER,
    analysed_spec VARCHAR
);

CREATE TABLE units (
    run_id VARCHAR NOT NULL,
    unit_id VARCHAR NOT NULL,
    stage VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    finished_at TIMESTAMPTZ NOT NULL,
    seconds DOUBLE NOT NULL,
    PRIMARY KEY (run_id, unit_id)
);

CREATE TABLE prompts (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    pair_id VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    prompt VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,
    correct VARCHAR NOT NULL,
    misconception VARCHAR NOT NULL,
    line INTEGER NOT NULL
);

CREATE TABLE prompt_tags (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    tag VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);

CREATE TABLE generations (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    decoded_answer VARCHAR NOT NULL,
    token_ids INTEGER[] NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE topk_logits (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    token VARCHAR NOT NULL,
    logit FLOAT NOT NULL,
    logprob FLOAT NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE answers (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
    token_index INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    token VARCHAR NOT NULL,
    logprob DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE activations (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    readout VARCHAR NOT NULL,
    feature INTEGER NOT NULL,
    value FLOAT NOT NULL,
    origin VARCHAR NOT NULL
);

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

CREATE TABLE sae_health (
    run_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    width INTEGER NOT NULL,
    n_prompts INTEGER NOT NULL,
    n_positions INTEGER NOT NULL,
    l0 DOUBLE NOT NULL,
    fvu DOUBLE,
    fvu_median DOUBLE,
    dead DOUBLE NOT NULL,
    loss DOUBLE,
    loss_spliced DOUBLE,
    loss_zeroed DOUBLE,
    loss_recovered DOUBLE,
    warning VARCHAR,
    origin VARCHAR NOT NULL
);

CREATE TABLE feature_activity (
    run_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    firing_rate DOUBLE NOT NULL,
    mean_activation DOUBLE NOT NULL,
    decoder_norm DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE attributions (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    predicted DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE interventions (
    run_id VARCHAR NOT NULL,
    intervention_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    source VARCHAR,
    positions VARCHAR NOT NULL,
    variant VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    value DOUBLE,
    rank INTEGER NOT NULL,
    score DOUBLE,
    origin VARCHAR NOT NULL
);

CREATE TABLE impacts (
    run_id VARCHAR NOT NULL,
    intervention_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    baseline DOUBLE NOT NULL,
    edited DOUBLE NOT NULL,
    impact DOUBLE NOT NULL,
    active BOOLEAN NOT NULL,
    source_id VARCHAR,
    origin VARCHAR NOT NULL
);

CREATE TABLE impact_tokens (
    run_id VARCHAR NOT NULL,
    intervention_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
    token_index INTEGER NOT NULL,
    baseline DOUBLE NOT NULL,
    edited DOUBLE NOT NULL,
    kl DOUBLE NOT NULL,
    flipped BOOLEAN NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE feature_tests (
    run_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    n_pairs INTEGER NOT NULL,
    n_units INTEGER NOT NULL,
    rate_correct DOUBLE NOT NULL,
    rate_misconception DOUBLE NOT NULL,
    mean_difference DOUBLE NOT NULL,
    ci_low DOUBLE,
    ci_high DOUBLE,
    u DOUBLE NOT NULL,
    statistic DOUBLE NOT NULL,
    p_marginal DOUBLE,
    p_adjusted DOUBLE,
    p_fdr DOUBLE,
    fdr_by_layer BOOLEAN,
    d_z DOUBLE,
    d_z_low DOUBLE,
    d_z_high DOUBLE,
    g_av DOUBLE,
    rank_biserial DOUBLE,
    common_language DOUBLE,
    flag VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE ablation_tests (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    intervention_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    n_pairs INTEGER NOT NULL,
    n_units INTEGER NOT NULL,
    mean_impact DOUBLE NOT NULL,
    ci_low DOUBLE,
    ci_high DOUBLE,
    p DOUBLE,
    p_adjusted DOUBLE,
    d_z DOUBLE,
    d_z_low DOUBLE,
    d_z_high DOUBLE,
    active_share DOUBLE NOT NULL,
    n_controls INTEGER,
    mean_control DOUBLE,
    beyond_controls DOUBLE,
    beyond_low DOUBLE,
    beyond_high DOUBLE,
    p_beyond DOUBLE,
    p_rank DOUBLE,
    synergy DOUBLE,
    synergy_low DOUBLE,
    synergy_high DOUBLE,
    p_synergy DOUBLE,
    predicted DOUBLE,
    rank_correlation DOUBLE,
    flag VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE verdicts (
    run_id VARCHAR NOT NULL,
    claim VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    estimate DOUBLE,
    ci_low DOUBLE,
    ci_high DOUBLE,
    unit VARCHAR NOT NULL,
    p DOUBLE,
    alpha DOUBLE NOT NULL,
    n_units INTEGER NOT NULL,
    n_pairs INTEGER NOT NULL,
    floor DOUBLE NOT NULL,
    because VARCHAR NOT NULL,
    query VARCHAR NOT NULL,
    exploratory BOOLEAN NOT NULL,
    origin VARCHAR NOT NULL
);

-- Of no run: what Neuronpedia answered, so that it is asked once.
CREATE TABLE feature_labels (
    source VARCHAR NOT NULL,
    feature INTEGER NOT NULL,
    label VARCHAR,
    explainer VARCHAR,
    fetched_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (source, feature)
);

-- Views over the tables. Each keeps `run_id` and `origin`, and none aggregates over runs: what a
-- mock or a stand-in produced never mixes with what a real model did.

-- What the model prefers on each prompt, in nats.
CREATE OR REPLACE VIEW behaviour AS
SELECT
    a.run_id, p.family, p.pair_id, a.prompt_id, p.label, p.split,
    sum(a.logprob) FILTER (a.candidate = 'correct') AS log_p_correct,
    sum(a.logprob) FILTER (a.candidate = 'misconception') AS log_p_misconception,
    log_p_correct - log_p_misconception AS logit_difference,
    any_value(a.origin) AS origin
FROM answers a JOIN prompts p USING (run_id, prompt_id)
GROUP BY a.run_id, p.family, p.pair_id, a.prompt_id, p.label, p.split;

-- How far the variants of each family's pairs lie apart, beside what most families say: `agrees` is
-- whether the sign is that of the run's mean. A family that does not move has no sign.
CREATE OR REPLACE VIEW family_contrasts AS
SELECT
    run_id, family, split, count(*) // 2 AS n_pairs,
    avg(logit_difference) FILTER (label = 'correct') AS after_correct,
    avg(logit_difference) FILTER (label = 'misconception') AS after_misconception,
    after_correct - after_misconception AS difference,
    CASE WHEN difference <> 0 THEN
        sign(difference) = sign(avg(difference) OVER (PARTITION BY run_id))
    END AS agrees,
    any_value(origin) AS origin
FROM behaviour
GROUP BY run_id, family, split;

-- What each spec claims, beside what became of it.
CREATE OR REPLACE VIEW claims AS
SELECT
    r.run_id, r.spec_name, r.target, c.claim, v.kind,
    coalesce(c.behaviour, c.features, c.ablation) AS about,
    c.direction, c.beyond, c.than, c.within, c.at_least, c.at_most, coalesce(c.contrast, false) AS contrast,
    v.verdict, v.estimate, v.ci_low, v.ci_high, v.unit, v.p, v.because, v.exploratory, v.origin
FROM runs r
CROSS JOIN LATERAL (
    SELECT
        one ->> 'name' AS claim, one ->> 'behaviour' AS behaviour, one ->> 'features' AS features,
        one ->> 'ablation' AS ablation, one ->> 'direction' AS direction, one ->> 'beyond' AS beyond,
        (one ->> 'than')::DOUBLE AS than, (one ->> 'within')::DOUBLE AS within,
        (one ->> 'at_least')::INTEGER AS at_least, (one ->> 'at_most')::INTEGER AS at_most,
        (one ->> 'contrast')::BOOLEAN AS contrast
    FROM (SELECT unnest(from_json(
        json_extract(coalesce(r.analysed_spec, r.spec), '$.claims'), '["JSON"]'
    )) AS one)
) c
JOIN verdicts v USING (run_id, claim);

-- The confirming families' test of each feature, strongest first within its run.
CREATE OR REPLACE VIEW top_features AS
SELECT
    t.run_id, r.spec_name, r.target, t.layer, t.feature,
    rank() OVER (PARTITION BY t.run_id ORDER BY t.p_adjusted, abs(t.statistic) DESC) AS rank,
    t.mean_difference, t.ci_low, t.ci_high, t.d_z, t.p_adjusted, t.statistic,
    t.rate_correct, t.rate_misconception, a.firing_rate, t.flag,
    'https://www.neuronpedia.org/' || r.neuronpedia[list_position(r.layers, t.layer)]
        || '/' || t.feature AS page,
    r.exploratory IS NOT NULL AS exploratory, t.origin, l.label
FROM feature_tests t
JOIN runs r USING (run_id)
LEFT JOIN feature_activity a USING (run_id, layer, feature)
LEFT JOIN feature_labels l
    ON l.source = r.neuronpedia[list_position(r.layers, t.layer)] AND l.feature = t.feature
WHERE t.split = 'confirmation'
ORDER BY t.run_id, rank, t.layer, t.feature;

-- Each ablation's target, single features, no-op, doses and controls, in the spec's metric.
CREATE OR REPLACE VIEW ablation_summary AS
SELECT
    t.run_id, r.spec_name, r.target, t.ablation, t.role, i.kind, i.features,
    t.mean_impact, t.ci_low, t.ci_high, t.p, t.p_adjusted, t.active_share,
    t.n_controls, t.beyond_controls, t.beyond_low, t.beyond_high, t.p_beyond, t.p_rank,
    t.synergy, t.predicted, t.rank_correlation,
    r.exploratory IS NOT NULL AS exploratory, t.origin
FROM ablation_tests t
JOIN runs r USING (run_id)
JOIN (
    SELECT run_id, intervention_id, any_value(number) AS number, any_value(kind) AS kind,
        string_agg(layer || ':' || feature, ' ' ORDER BY rank) AS features
    FROM interventions GROUP BY run_id, intervention_id
) i USING (run_id, intervention_id)
WHERE t.metric = r.metric
ORDER BY t.run_id, t.ablation,
    list_position(['target', 'no-op', 'dose', 'single', 'control'], t.role), i.number;

-- What scaling the selected features by a factor does to each metric: 0 removes them, 1 leaves them.
CREATE OR REPLACE VIEW dose_response AS
SELECT
    t.run_id, r.spec_name, r.target, t.ablation, t.metric, i.dose,
    t.mean_impact, t.ci_low, t.ci_high, t.p,
    r.exploratory IS NOT NULL AS exploratory, t.origin
FROM ablation_tests t
JOIN runs r USING (run_id)
JOIN (
    SELECT run_id, intervention_id, any_value(value) AS dose
    FROM interventions WHERE role = 'dose' GROUP BY run_id, intervention_id
) i USING (run_id, intervention_id)
ORDER BY t.run_id, t.ablation, t.metric, i.dose;

-- An ablation's impact on each family, target beside the mean of its controls.
CREATE OR REPLACE VIEW impact_by_family AS
SELECT
    m.run_id, i.ablation, p.family, m.metric,
    avg(m.impact) FILTER (i.role = 'target') AS target,
    avg(m.impact) FILTER (i.role = 'control') AS controls,
    any_value(m.origin) AS origin
FROM impacts m
JOIN (SELECT DISTINCT run_id, intervention_id, ablation, role FROM interventions) i
    USING (run_id, intervention_id)
JOIN prompts p USING (run_id, prompt_id)
GROUP BY m.run_id, i.ablation, p.family, m.metric;

-- The verdicts of each spec's last finished run on each target, of each origin. A trial on some of the
-- families is no such run.
CREATE OR REPLACE VIEW latest_verdicts AS
SELECT r.spec_name, r.target, v.* EXCLUDE (run_id), r.run_id, r.finished_at
FROM verdicts v JOIN runs r USING (run_id)
WHERE r.status = 'finished' AND NOT starts_with(coalesce(r.exploratory, ''), 'limited to ')
QUALIFY r.finished_at = max(r.finished_at) OVER (PARTITION BY r.spec_name, r.target, r.origin)
ORDER BY r.spec_name, r.target, r.origin;
