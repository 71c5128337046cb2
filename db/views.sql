-- Views over the tables. Each keeps `run_id` and `origin`, and none aggregates over runs: what a
-- mock or a stand-in produced never mixes with what a real model did.

-- What the model prefers on each prompt, in nats.
CREATE OR REPLACE VIEW behaviour AS
WITH members AS (
    SELECT run_id, prompt_id, candidate, member, sum(logprob) AS log_p, any_value(origin) AS origin
    FROM answers GROUP BY run_id, prompt_id, candidate, member
), likeliest AS (
    SELECT *, max(log_p) OVER (PARTITION BY run_id, prompt_id, candidate) AS most FROM members
), candidates AS (
    -- Of a set of answers the log of their probability together.
    SELECT run_id, prompt_id, candidate, any_value(most) + ln(sum(exp(log_p - most))) AS log_p,
        any_value(origin) AS origin
    FROM likeliest GROUP BY run_id, prompt_id, candidate
)
SELECT
    a.run_id, p.family, p.pair_id, a.prompt_id, p.label, p.split,
    sum(a.log_p) FILTER (a.candidate = 'correct') AS log_p_correct,
    sum(a.log_p) FILTER (a.candidate = 'misconception') AS log_p_misconception,
    log_p_correct - log_p_misconception AS logit_difference,
    any_value(a.origin) AS origin
FROM candidates a JOIN prompts p USING (run_id, prompt_id)
GROUP BY a.run_id, p.family, p.pair_id, a.prompt_id, p.label, p.split;

-- The same of each prompt without its scene, where a claim asks for it.
CREATE OR REPLACE VIEW baseline_behaviour AS
SELECT
    b.run_id, p.family, p.pair_id, b.prompt_id, p.label, p.split,
    sum(b.logprob) FILTER (b.candidate = 'correct') AS log_p_correct,
    sum(b.logprob) FILTER (b.candidate = 'misconception') AS log_p_misconception,
    log_p_correct - log_p_misconception AS logit_difference,
    any_value(b.origin) AS origin
FROM baselines b JOIN prompts p USING (run_id, prompt_id)
GROUP BY b.run_id, p.family, p.pair_id, b.prompt_id, p.label, p.split;

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
    coalesce(
        c.behaviour, c.features, c.ablation, c.share, c.monotone, c.specific, c.collateral, c.decoy,
        c.complement, c.needed, c.stable, c.tokens, c.crossfit, c.transfers
    ) AS about,
    c.direction, c.beyond, c.than, c.within, c.at_least, c.at_most, coalesce(c.contrast, false) AS contrast,
    c.part, c.prompts, c.metric, c.margin, coalesce(c.guard, false) AS guard, c.keeps, c.less_than,
    coalesce(c.cluster, json_extract_string(coalesce(r.analysed_spec, r.spec), '$.cluster'), 'family') AS cluster,
    v.verdict, v.estimate, v.ci_low, v.ci_high, v.unit, v.p, v.because, v.exploratory, v.origin, c.among,
    c.within_share
FROM runs r
CROSS JOIN LATERAL (
    SELECT
        one ->> 'name' AS claim, one ->> 'behaviour' AS behaviour, one ->> 'features' AS features,
        one ->> 'ablation' AS ablation, one ->> 'direction' AS direction, one ->> 'beyond' AS beyond,
        (one ->> 'than')::DOUBLE AS than, (one ->> 'within')::DOUBLE AS within,
        (one ->> 'at_least')::INTEGER AS at_least, (one ->> 'at_most')::INTEGER AS at_most,
        (one ->> 'contrast')::BOOLEAN AS contrast, one ->> 'share' AS share,
        one ->> 'monotone' AS monotone, one ->> 'specific' AS specific,
        one ->> 'collateral' AS collateral, one ->> 'prompts' AS prompts, one ->> 'metric' AS metric,
        (one ->> 'margin')::DOUBLE AS margin, (one ->> 'guard')::BOOLEAN AS guard,
        (one ->> 'keeps')::DOUBLE AS keeps, one ->> 'cluster' AS cluster, one ->> 'decoy' AS decoy,
        (one ->> 'less_than')::DOUBLE AS less_than, one ->> 'where' AS part,
        one ->> 'complement' AS complement, one ->> 'needed' AS needed,
        one ->> 'stable' AS stable, one ->> 'among' AS among, one ->> 'tokens' AS tokens,
        (one ->> 'within_share')::DOUBLE AS within_share, one ->> 'transfers' AS transfers,
        one ->> 'crossfit' AS crossfit
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
    r.exploratory IS NOT NULL AS exploratory, t.origin, l.label, r.hook
FROM feature_tests t
JOIN runs r USING (run_id)
LEFT JOIN feature_activity a USING (run_id, layer, feature)
LEFT JOIN feature_labels l
    ON l.source = r.neuronpedia[list_position(r.layers, t.layer)] AND l.feature = t.feature
WHERE t.split = 'confirmation'
ORDER BY t.run_id, rank, t.layer, t.feature;

-- Each ablation's target, single features, no-op, doses and controls, in the spec's metric. `features` are those
-- that are edited, of a complement those that are not.
CREATE OR REPLACE VIEW ablation_summary AS
SELECT
    t.run_id, r.spec_name, r.target, t.ablation, t.role, i.kind, i.features,
    t.mean_impact, t.ci_low, t.ci_high, t.p, t.p_adjusted, t.active_share,
    t.n_controls, t.beyond_controls, t.beyond_low, t.beyond_high, t.p_beyond, t.p_rank,
    t.synergy, t.predicted, t.rank_correlation,
    r.exploratory IS NOT NULL AS exploratory, t.origin, r.hook
FROM ablation_tests t
JOIN runs r USING (run_id)
JOIN (
    SELECT run_id, intervention_id, any_value(number) AS number, any_value(kind) AS kind,
        string_agg(layer || ':' || feature, ' ' ORDER BY rank) AS features
    FROM interventions GROUP BY run_id, intervention_id
) i USING (run_id, intervention_id)
WHERE t.metric = r.metric
ORDER BY t.run_id, t.ablation,
    list_position(
        [
            'target', 'no-op', 'dose', 'single', 'without', 'complement', 'control', 'rotated', 'shuffled',
            'baseline', 'dose-control'
        ], t.role
    ), i.number;

-- What scaling the selected features by a factor does to each metric: 0 removes them, 1 leaves them. Beside it
-- what that does on average to matched random sets, of which some are scaled.
CREATE OR REPLACE VIEW dose_response AS
SELECT
    t.run_id, r.spec_name, r.target, t.ablation, t.metric, i.dose,
    t.mean_impact, t.ci_low, t.ci_high, t.p, k.controls, k.n_controls,
    r.exploratory IS NOT NULL AS exploratory, t.origin
FROM ablation_tests t
JOIN runs r USING (run_id)
JOIN (
    SELECT run_id, intervention_id, any_value(value) AS dose
    FROM interventions WHERE role = 'dose' GROUP BY run_id, intervention_id
) i USING (run_id, intervention_id)
LEFT JOIN (
    SELECT t.run_id, t.ablation, t.metric, i.dose, avg(t.mean_impact) AS controls,
        count(*)::INTEGER AS n_controls
    FROM ablation_tests t
    JOIN (
        -- A set that is removed altogether has the dose 0.
        SELECT run_id, intervention_id,
            CASE WHEN role = 'dose-control' THEN any_value(value) ELSE 0 END AS dose
        FROM interventions
        WHERE role = 'dose-control' OR (role = 'control' AND kind = 'zero')
        GROUP BY run_id, intervention_id, role
    ) i USING (run_id, intervention_id)
    GROUP BY t.run_id, t.ablation, t.metric, i.dose
) k ON k.run_id = t.run_id AND k.ablation = t.ablation AND k.metric = t.metric AND k.dose = i.dose
ORDER BY t.run_id, t.ablation, t.metric, i.dose;

-- What each ablation's edit, and its controls', does where it is not meant to, to each metric: to the other
-- variant's prompts, where `file` is empty, or to those of another file.
CREATE OR REPLACE VIEW side_effect_summary AS
SELECT
    s.run_id, r.spec_name, r.target, s.ablation, s.file, s.role, s.metric,
    count(DISTINCT s.intervention_id) AS sets, count(DISTINCT s.prompt_id) AS prompts,
    avg(s.impact) AS mean_impact, avg(abs(s.impact)) AS mean_size, avg(s.active::INTEGER) AS active_share,
    any_value(s.origin) AS origin
FROM side_effects s
JOIN runs r USING (run_id)
GROUP BY s.run_id, r.spec_name, r.target, s.ablation, s.file, s.role, s.metric
ORDER BY s.run_id, s.ablation, s.file, s.metric, s.role DESC;

-- How each ablation's features answer the contrast of each decoy in a file: the other variant's value minus the
-- correct one's, feature by feature, on average over pairs.
CREATE OR REPLACE VIEW decoy_summary AS
SELECT
    d.run_id, r.spec_name, r.target, d.ablation, d.file, d.decoy, d.layer, d.feature,
    count(DISTINCT d.pair_id) AS pairs, count(DISTINCT d.family) AS families,
    avg(d.value) FILTER (d.label = 'misconception') AS misconception,
    avg(d.value) FILTER (d.label = 'correct') AS correct,
    misconception - correct AS difference,
    any_value(d.origin) AS origin
FROM decoys d
JOIN runs r USING (run_id)
GROUP BY d.run_id, r.spec_name, r.target, d.ablation, d.file, d.decoy, d.layer, d.feature
ORDER BY d.run_id, d.ablation, d.file, d.decoy, d.layer, d.feature;

-- What each ablation's features are in neutral texts with their strongest tokens, and sequences of them, at each place;
-- without a feature the whole set.
CREATE OR REPLACE VIEW injection_summary AS
SELECT
    t.run_id, r.spec_name, r.target, t.ablation, t.placement, t.layer, t.feature, s.tokens, s.label,
    t.base, t.injected, t.own, t.share, t.ci_low, t.ci_high, t.cohens_d, t.p, t.driven, t.n_texts, t.n_units, t.origin,
    t.gram
FROM injection_tests t
JOIN runs r USING (run_id)
LEFT JOIN (
    SELECT run_id, ablation, layer, feature, gram, list(token ORDER BY rank) AS tokens, any_value(label) AS label
    FROM injected_tokens GROUP BY ALL
) s USING (run_id, ablation, layer, feature, gram)
ORDER BY t.run_id, t.ablation, t.layer NULLS FIRST, t.feature, t.gram, t.placement;

-- What each set that another eval froze does to the confirming prompts here (`sample`), and what it did there, in
-- the run that froze it. Families that are in both, by their name or by a prompt, are in no claim of `transfers`.
CREATE OR REPLACE VIEW transfer_impacts AS
WITH sources AS (
    SELECT r.run_id, s.ablation, r.feature_sources ->> ('$."' || s.ablation || '".run_id') AS from_run,
        r.feature_sources ->> ('$."' || s.ablation || '".ablation') AS from_ablation
    FROM runs r
    CROSS JOIN LATERAL (
        SELECT unnest(json_keys(CASE WHEN json_valid(r.feature_sources) THEN r.feature_sources END)) AS ablation
    ) s
),
samples AS (
    SELECT run_id, ablation, 'here' AS sample, run_id AS of_run, ablation AS of_ablation, from_run FROM sources
    UNION ALL
    SELECT run_id, ablation, 'there', from_run, from_ablation, from_run FROM sources
),
families AS (
    SELECT DISTINCT s.run_id, s.ablation, s.sample, p.family, p.prompt
    FROM samples s JOIN prompts p ON p.run_id = s.of_run AND p.split = 'confirmation'
),
shared AS (
    SELECT a.run_id, a.ablation, a.sample, a.family
    FROM families a JOIN families b USING (run_id, ablation, family) WHERE a.sample <> b.sample
    UNION
    SELECT a.run_id, a.ablation, a.sample, a.family
    FROM families a JOIN families b USING (run_id, ablation, prompt) WHERE a.sample <> b.sample
)
SELECT
    s.run_id, s.ablation, s.from_run, s.sample, m.metric, p.family, m.prompt_id, m.impact,
    h.family IS NOT NULL AS in_both, m.origin
FROM samples s
JOIN (SELECT DISTINCT run_id, ablation, intervention_id FROM interventions WHERE role = 'target') i
    ON i.run_id = s.of_run AND i.ablation = s.of_ablation
JOIN impacts m ON m.run_id = s.of_run AND m.intervention_id = i.intervention_id
JOIN prompts p ON p.run_id = s.of_run AND p.prompt_id = m.prompt_id
LEFT JOIN shared h
    ON h.run_id = s.run_id AND h.ablation = s.ablation AND h.sample = s.sample AND h.family = p.family;

-- The means of these, without what is in both, and the one as a share of the other.
CREATE OR REPLACE VIEW transfer_summary AS
SELECT
    t.run_id, r.spec_name, r.target, t.ablation, t.metric, t.from_run,
    avg(t.impact) FILTER (t.sample = 'here' AND NOT t.in_both) AS here,
    avg(t.impact) FILTER (t.sample = 'there' AND NOT t.in_both) AS there,
    here / nullif(there, 0) AS share,
    count(DISTINCT t.family) FILTER (t.sample = 'here' AND NOT t.in_both) AS families_here,
    count(DISTINCT t.family) FILTER (t.sample = 'there' AND NOT t.in_both) AS families_there,
    count(DISTINCT t.family) FILTER (t.sample = 'here' AND t.in_both) AS families_in_both,
    any_value(t.origin) AS origin
FROM transfer_impacts t
JOIN runs r USING (run_id)
GROUP BY t.run_id, r.spec_name, r.target, t.ablation, t.metric, t.from_run
ORDER BY t.run_id, t.ablation, t.metric;

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

-- What is claimed of each selected set, and what became of it: a row a claim, by the question that it answers.
-- A set is named by the eval that froze it and its ablation, and others may claim something of it as well.
CREATE OR REPLACE VIEW set_claims AS
SELECT
    coalesce(s.source ->> 'spec', s.spec_name) || '/' || coalesce(s.source ->> 'ablation', s.ablation) AS of_set,
    CASE
        WHEN s.source IS NOT NULL OR s.kind = 'transfers' THEN 'transfer'
        WHEN s.kind = 'features' THEN 'difference'
        WHEN s.kind = 'ablation' AND s.within IS NOT NULL THEN 'no effect'
        WHEN s.kind = 'ablation' AND s.beyond = 'shuffled' THEN 'own values'
        WHEN s.kind = 'ablation' AND s.beyond IN ('mean-difference', 'probe', 'neurons', 'random-sae') THEN 'baseline'
        WHEN s.kind = 'ablation' THEN 'necessity'
        WHEN s.kind = 'share' THEN 'sufficiency'
        WHEN s.kind = 'complement' THEN 'completeness'
        WHEN s.kind = 'needed' THEN 'minimality'
        WHEN s.kind = 'monotone' THEN 'doses'
        WHEN s.kind = 'stable' THEN 'stability'
        WHEN s.kind = 'tokens' THEN 'tokens'
        WHEN s.kind = 'crossfit' THEN 'other splits'
        ELSE 'specificity'
    END AS question,
    s.claim, s.verdict, s.estimate, s.ci_low, s.ci_high, s.unit, s.p, s.because, s.kind, s.beyond,
    s.ablation, s.spec_name, s.target, s.run_id, s.exploratory, s.origin
FROM (
    SELECT c.*, coalesce(c.among, c.about) AS ablation,
        CASE WHEN json_valid(r.feature_sources) THEN
            json_extract(r.feature_sources, '$."' || coalesce(c.among, c.about) || '"')
        END AS source
    FROM claims c JOIN runs r USING (run_id)
    WHERE c.kind NOT IN ('behaviour', 'features') OR c.among IS NOT NULL
) s;

-- The verdicts of each spec's last finished run on each target, of each origin. A trial on some of the
-- families is no such run.
CREATE OR REPLACE VIEW latest_verdicts AS
SELECT r.spec_name, r.target, v.* EXCLUDE (run_id), r.run_id, r.finished_at
FROM verdicts v JOIN runs r USING (run_id)
WHERE r.status = 'finished' AND NOT starts_with(coalesce(r.exploratory, ''), 'limited to ')
QUALIFY r.finished_at = max(r.finished_at) OVER (PARTITION BY r.spec_name, r.target, r.origin)
ORDER BY r.spec_name, r.target, r.origin;
