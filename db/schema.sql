-- The tables of the results file; `migrations/` bring an older file here. Meanings, units and nulls:
-- db/README.md.

-- One line a version that the file has had. `views`, once a hash of the views and macros in it, is null:
-- they are compared with those of the harness themselves.
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, views VARCHAR);

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
    analysed_spec VARCHAR,
    noise_floor DOUBLE,
    arithmetic VARCHAR,
    accelerator VARCHAR,
    feature_sources VARCHAR,
    variant_correct VARCHAR,
    variant_misconception VARCHAR,
    metrics VARCHAR,
    hook VARCHAR
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
    line INTEGER NOT NULL,
    baseline VARCHAR,
    variant VARCHAR,
    messages VARCHAR,
    further VARCHAR
);

CREATE TABLE prompt_tags (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    tag VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);

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
    tags VARCHAR NOT NULL,
    variant VARCHAR,
    messages VARCHAR,
    further VARCHAR
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
    origin VARCHAR NOT NULL,
    member INTEGER
);

CREATE TABLE baselines (
    run_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
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

CREATE TABLE attributions (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    predicted DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

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
    origin VARCHAR NOT NULL,
    tied INTEGER,
    baseline VARCHAR
);

-- What became of the features of another eval's set, where they were matched or some are left out.
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

CREATE TABLE control_balance (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    property VARCHAR NOT NULL,
    target DOUBLE NOT NULL,
    controls DOUBLE NOT NULL,
    difference DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

CREATE TABLE baseline_directions (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    baseline VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    dimension INTEGER NOT NULL,
    value DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

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
    origin VARCHAR NOT NULL,
    member INTEGER
);

CREATE TABLE impact_noise (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    difference DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
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

CREATE TABLE decoys (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    decoy VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    pair_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    value DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

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
    origin VARCHAR NOT NULL,
    gram INTEGER NOT NULL,
    before INTEGER[] NOT NULL
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
    origin VARCHAR NOT NULL,
    gram INTEGER
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
    origin VARCHAR NOT NULL,
    noise DOUBLE
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
    origin VARCHAR NOT NULL,
    gram INTEGER NOT NULL
);

CREATE TABLE crossfit_splits (
    run_id VARCHAR NOT NULL,
    claim VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    split INTEGER NOT NULL,
    seed BIGINT NOT NULL,
    n_features INTEGER NOT NULL,
    n_shared INTEGER NOT NULL,
    n_pairs INTEGER NOT NULL,
    n_units INTEGER NOT NULL,
    estimate DOUBLE,
    ci_low DOUBLE,
    ci_high DOUBLE,
    unit VARCHAR NOT NULL,
    p DOUBLE,
    verdict VARCHAR NOT NULL,
    because VARCHAR NOT NULL,
    origin VARCHAR NOT NULL
);

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

-- On what an ablation's impact depends: a row a level of a term.
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
    origin VARCHAR NOT NULL,
    p_holm DOUBLE,
    n_toward INTEGER,
    share_low DOUBLE,
    share_high DOUBLE
);

-- Of no run: each spec on a target from when it was put here, and why its runs cannot confirm if results on
-- its confirming prompts were here before it.
CREATE TABLE registrations (
    spec_hash VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    prompts_hash VARCHAR NOT NULL,
    spec_name VARCHAR NOT NULL,
    claims VARCHAR NOT NULL,
    registered_at TIMESTAMPTZ NOT NULL,
    seen VARCHAR,
    model_revision VARCHAR,
    model_hash VARCHAR,
    confirming VARCHAR[]
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
