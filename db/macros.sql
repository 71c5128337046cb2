-- Table macros: views that take arguments. `FROM pairs_of_feature('20261123-113102-770-voices-organism', 3, 17)`.

-- A feature's value on both variants of every pair. A feature that is not active has the value 0; a
-- layer that was not read has no rows.
CREATE OR REPLACE MACRO pairs_of_feature(of_run, of_layer, of_feature) AS TABLE
SELECT
    p.run_id, p.family, p.pair_id, p.split,
    coalesce(max(a.value) FILTER (p.label = 'correct'), 0) AS after_correct,
    coalesce(max(a.value) FILTER (p.label = 'misconception'), 0) AS after_misconception,
    after_correct - after_misconception AS difference,
    any_value(r.origin) AS origin
FROM prompts p
JOIN runs r USING (run_id)
LEFT JOIN (
    FROM activations WHERE run_id = of_run AND layer = of_layer AND feature = of_feature
) a USING (run_id, prompt_id)
WHERE p.run_id = of_run AND list_contains(r.layers, of_layer)
GROUP BY p.run_id, p.family, p.pair_id, p.split
ORDER BY difference DESC, p.pair_id;

-- One feature in every run that tested it, the newest first. Runs of other SAEs have another feature
-- by that number: `sae_hash` tells them apart.
CREATE OR REPLACE MACRO feature_history(of_layer, of_feature) AS TABLE
WITH mine AS (
    FROM feature_tests
    WHERE layer = of_layer AND feature = of_feature AND split = 'confirmation'
),
-- As in `top_features`, but of this feature alone: ranking all of all runs would take long.
ranks AS (
    SELECT
        m.run_id,
        1 + count(*) FILTER (
            o.p_adjusted < m.p_adjusted
            OR (o.p_adjusted IS NOT NULL AND m.p_adjusted IS NULL)
            OR (o.p_adjusted IS NOT DISTINCT FROM m.p_adjusted AND abs(o.statistic) > abs(m.statistic))
        ) AS rank
    FROM mine m JOIN feature_tests o USING (run_id)
    WHERE o.split = 'confirmation'
    GROUP BY m.run_id
)
SELECT
    r.created_at, t.run_id, r.spec_name, r.target, r.sae, r.sae_hash[:12] AS sae_hash, r.dtype,
    k.rank, t.mean_difference, t.ci_low, t.ci_high, t.d_z, t.p_adjusted, a.firing_rate,
    r.exploratory IS NOT NULL AS exploratory, t.origin, r.hook
FROM mine t
JOIN ranks k USING (run_id)
JOIN runs r USING (run_id)
LEFT JOIN (FROM feature_activity WHERE layer = of_layer AND feature = of_feature) a USING (run_id)
ORDER BY r.created_at DESC;

-- How often a test at each level calls a feature different, in either direction. Where there is
-- nothing to find (the placebo), the share is at most the level, but for chance.
CREATE OR REPLACE MACRO calibration(of_run) AS TABLE
SELECT
    t.run_id, r.spec_name, r.target, level::DOUBLE AS level, count(*) AS features,
    count(*) FILTER (t.p_marginal <= level) AS below,
    below / features AS share,
    min(t.p_adjusted) AS smallest_adjusted,
    any_value(t.origin) AS origin
FROM feature_tests t
JOIN runs r USING (run_id)
CROSS JOIN (VALUES (0.001), (0.01), (0.05), (0.1), (0.2), (0.5), (1)) levels(level)
WHERE t.run_id = of_run AND t.split = 'confirmation' AND t.p_marginal IS NOT NULL
GROUP BY t.run_id, r.spec_name, r.target, levels.level
ORDER BY level;

-- A metric by name of a prompt whose answers have these log-probabilities; of a registered one the difference
-- of the two, of which it is a function that is not known here.
CREATE OR REPLACE MACRO measure(metric, positive, negative) AS
CASE metric
    WHEN 'log_p_correct' THEN positive
    WHEN 'log_p_misconception' THEN negative
    WHEN 'accuracy' THEN (positive > negative)::INTEGER::DOUBLE
    WHEN 'log_mass' THEN greatest(positive, negative) + ln(1 + exp(-abs(positive - negative)))
    WHEN 'mass' THEN exp(positive) + exp(negative)
    ELSE positive - negative
END;

-- What a verdict rests on, row by row, in long form: `quantity` says what `value` is, `beside` what it
-- is held against (a test's adjusted p, the mean of the controls on the same prompt), or its dose. Of a
-- claim that is made of some of the prompts, their rows alone.
CREATE OR REPLACE MACRO evidence(of_run, of_claim) AS TABLE
WITH claim AS (
    SELECT c.*, r.variant_correct,
        CASE coalesce(c.metric, r.metric)
            WHEN 'log_p_' || r.variant_correct THEN 'log_p_correct'
            WHEN 'log_p_' || r.variant_misconception THEN 'log_p_misconception'
            ELSE coalesce(c.metric, r.metric)
        END AS measured,
        CASE c.about
            WHEN 'log_p_' || r.variant_correct THEN 'log_p_correct'
            WHEN 'log_p_' || r.variant_misconception THEN 'log_p_misconception'
            ELSE c.about
        END AS said
    FROM claims c JOIN runs r USING (run_id)
    WHERE c.run_id = of_run AND c.claim = of_claim
),
part AS (
    SELECT unnest(map_entries(part::JSON::MAP(VARCHAR, VARCHAR)), recursive := true) FROM claim
),
asked AS (
    SELECT p.run_id, p.prompt_id FROM prompts p
    WHERE p.run_id = of_run AND p.prompt_id NOT IN (
        SELECT lacking.prompt_id
        FROM (SELECT prompt_id, key, value FROM prompts CROSS JOIN part WHERE run_id = of_run) lacking
        ANTI JOIN (FROM prompt_tags WHERE run_id = of_run) t
            ON t.prompt_id = lacking.prompt_id AND t.tag = lacking.key AND t.value = lacking.value
    )
)
SELECT
    c.claim, c.verdict, 'behaviour' AS source, b.family, b.prompt_id, NULL::INTEGER AS layer,
    NULL::INTEGER AS feature, NULL::VARCHAR AS intervention_id, c.about AS quantity,
    measure(c.said, b.log_p_correct, b.log_p_misconception) AS value,
    CASE WHEN c.beyond = 'baseline' THEN
        measure(c.said, n.log_p_correct, n.log_p_misconception)
    END AS beside, b.origin
FROM claim c
JOIN behaviour b USING (run_id)
JOIN asked USING (run_id, prompt_id)
LEFT JOIN baseline_behaviour n USING (run_id, prompt_id)
WHERE c.kind = 'behaviour' AND b.split = 'confirmation'
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'feature_tests' AS source, t.layer, t.feature,
    'mean_difference' AS quantity, t.mean_difference AS value, t.p_adjusted AS beside, t.origin
FROM claim c JOIN feature_tests t USING (run_id)
WHERE c.kind = 'features' AND t.split = 'confirmation' AND (c.among IS NULL OR EXISTS (
    FROM interventions i WHERE i.run_id = t.run_id AND i.ablation = c.among AND i.role = 'target'
        AND i.layer = t.layer AND i.feature = t.feature
))
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'impacts' AS source, p.family, m.prompt_id, i.intervention_id,
    m.metric AS quantity, m.impact AS value, k.impact AS beside, m.origin
FROM claim c
JOIN runs r USING (run_id)
JOIN (
    SELECT DISTINCT run_id, ablation, intervention_id FROM interventions WHERE role = 'target'
) i ON i.run_id = c.run_id AND i.ablation = c.about
JOIN impacts m ON m.run_id = c.run_id AND m.intervention_id = i.intervention_id
    AND m.metric = c.measured
JOIN prompts p ON p.run_id = c.run_id AND p.prompt_id = m.prompt_id
SEMI JOIN asked a ON a.prompt_id = m.prompt_id
LEFT JOIN (
    SELECT i.ablation, i.beyond, m.prompt_id, m.metric, avg(m.impact) AS impact
    FROM impacts m
    JOIN (
        SELECT DISTINCT ablation, intervention_id,
            CASE role
                WHEN 'rotated' THEN 'directions' WHEN 'control' THEN 'controls'
                WHEN 'baseline' THEN baseline ELSE role
            END AS beyond
        FROM interventions
        WHERE run_id = of_run AND role IN ('control', 'rotated', 'shuffled', 'baseline')
    ) i USING (intervention_id)
    WHERE m.run_id = of_run
    GROUP BY ALL
) k ON k.ablation = i.ablation AND k.prompt_id = m.prompt_id AND k.metric = m.metric
    -- What a claim holds an edit against, as its `beyond` names it.
    AND k.beyond = CASE WHEN coalesce(c.beyond, 'zero') = 'zero' THEN 'controls' ELSE c.beyond END
WHERE c.kind IN ('ablation', 'share')
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'impacts' AS source, p.family, m.prompt_id, i.intervention_id,
    m.metric AS quantity, m.impact AS value, i.dose AS beside, m.origin
FROM claim c
JOIN runs r USING (run_id)
JOIN (
    SELECT run_id, ablation, intervention_id, any_value(value)::DOUBLE AS dose
    FROM interventions WHERE role = 'dose' GROUP BY ALL
) i ON i.run_id = c.run_id AND i.ablation = c.about
JOIN impacts m ON m.run_id = c.run_id AND m.intervention_id = i.intervention_id
    AND m.metric = c.measured
JOIN prompts p ON p.run_id = c.run_id AND p.prompt_id = m.prompt_id
SEMI JOIN asked a ON a.prompt_id = m.prompt_id
WHERE c.kind = 'monotone'
UNION ALL BY NAME
-- Of a claim about all other features, or about each member's need, that edit beside the set's own on the same
-- prompt; `layer` and `feature` are the member that is left out.
SELECT
    c.claim, c.verdict, 'impacts' AS source, p.family, m.prompt_id, l.layer, l.feature, i.intervention_id,
    m.metric AS quantity, m.impact AS value, k.impact AS beside, m.origin
FROM claim c
JOIN (
    SELECT DISTINCT run_id, ablation, role, number, intervention_id FROM interventions
    WHERE run_id = of_run AND role IN ('complement', 'without')
) i ON i.run_id = c.run_id AND i.ablation = c.about
    AND i.role = CASE c.kind WHEN 'needed' THEN 'without' ELSE c.kind END
JOIN impacts m ON m.run_id = c.run_id AND m.intervention_id = i.intervention_id
    AND m.metric = c.measured
JOIN prompts p ON p.run_id = c.run_id AND p.prompt_id = m.prompt_id
SEMI JOIN asked a ON a.prompt_id = m.prompt_id
JOIN (
    SELECT DISTINCT ablation, intervention_id FROM interventions
    WHERE run_id = of_run AND role = 'target'
) t ON t.ablation = c.about
JOIN impacts k ON k.run_id = c.run_id AND k.intervention_id = t.intervention_id
    AND k.prompt_id = m.prompt_id AND k.metric = m.metric
LEFT JOIN (
    FROM interventions WHERE run_id = of_run AND role = 'target'
) l ON l.ablation = c.about AND i.role = 'without' AND l.rank = i.number
UNION ALL BY NAME
-- Of a set that another eval froze its impacts here, and those in the run that froze it, as another source.
SELECT
    c.claim, c.verdict, CASE t.sample WHEN 'here' THEN 'impacts' ELSE 'impacts there' END AS source,
    t.family, t.prompt_id, t.metric AS quantity, t.impact AS value, t.origin
FROM claim c
JOIN transfer_impacts t ON t.run_id = c.run_id AND t.ablation = c.about AND t.metric = c.measured
WHERE c.kind = 'transfers' AND NOT t.in_both
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'side_effects' AS source, s.family, s.prompt_id, s.intervention_id,
    s.metric AS quantity, s.impact AS value, k.impact AS beside, s.origin
FROM claim c
JOIN runs r USING (run_id)
JOIN side_effects s ON s.run_id = c.run_id AND s.ablation = c.about AND s.role = 'target'
    AND s.file = coalesce(c.prompts, '')
    AND s.metric = c.measured
LEFT JOIN (
    SELECT ablation, file, prompt_id, metric, avg(impact) AS impact
    FROM side_effects WHERE run_id = of_run AND role = 'control' GROUP BY ALL
) k ON k.ablation = s.ablation AND k.file = s.file AND k.prompt_id = s.prompt_id AND k.metric = s.metric
WHERE c.kind IN ('specific', 'collateral')
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'decoys' AS source, d.family, d.prompt_id, d.layer, d.feature,
    'activation' AS quantity, d.value, d.origin
FROM claim c
JOIN decoys d ON d.run_id = c.run_id AND d.ablation = c.about AND d.file = c.prompts
WHERE c.kind = 'decoy'
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'selection_stability' AS source, s.layer, s.feature,
    'half_share' AS quantity, s.half_share AS value, s.share AS beside, s.origin
FROM claim c
JOIN selection_stability s ON s.run_id = c.run_id AND s.ablation = c.about
WHERE c.kind = 'stable' AND s.selected
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'crossfit_splits' AS source, 'split ' || s.split AS quantity, s.estimate AS value, s.origin
FROM claim c
JOIN crossfit_splits s ON s.run_id = c.run_id AND s.claim = c.claim
WHERE c.kind = 'crossfit'
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'injections' AS source, i.family, i.prompt_id, i.layer, i.feature,
    'activation' AS quantity, i.peak AS value, b.peak AS beside, i.placement, i.gram, i.origin
FROM claim c
JOIN injections i ON i.run_id = c.run_id AND i.ablation = c.about AND i.placement <> ''
JOIN injections b ON b.run_id = c.run_id AND b.ablation = c.about AND b.placement = ''
    AND b.prompt_id = i.prompt_id AND b.layer = i.layer AND b.feature = i.feature
WHERE c.kind = 'tokens'
UNION ALL BY NAME
SELECT
    c.claim, c.verdict, 'token_activations' AS source, p.family, p.prompt_id, t.layer, t.feature,
    'activation' AS quantity, coalesce(max(a.value), 0) AS value, any_value(t.origin) AS origin
FROM claim c
JOIN (SELECT DISTINCT run_id, ablation, layer, feature, label, origin FROM injected_tokens) t
    ON t.run_id = c.run_id AND t.ablation = c.about
JOIN prompts p ON p.run_id = c.run_id AND p.label = t.label AND p.split = 'confirmation'
JOIN prompt_tokens s ON s.run_id = c.run_id AND s.prompt_id = p.prompt_id AND s.part = 'prompt'
LEFT JOIN token_activations a ON a.run_id = c.run_id AND a.prompt_id = p.prompt_id
    AND a.layer = t.layer AND a.feature = t.feature AND a.position = s.position
WHERE c.kind = 'tokens'
GROUP BY ALL
ORDER BY source, beside NULLS LAST, family, prompt_id, layer, feature, gram, placement;

-- A hash of every row of a run, without its id and without times: equal rows have equal hashes.
CREATE OR REPLACE MACRO row_digests(of_run) AS TABLE
SELECT 'units' AS source, hash(t) AS digest
-- One column at a time: of several, DuckDB keeps no order, and a file would give other words back each time.
FROM (
    SELECT * EXCLUDE (run_id) FROM (
        SELECT * EXCLUDE (finished_at) FROM (SELECT * EXCLUDE (seconds) FROM units WHERE run_id = of_run)
    )
) t
UNION ALL
SELECT 'prompts' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM prompts WHERE run_id = of_run) t
UNION ALL
SELECT 'prompt_tags' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM prompt_tags WHERE run_id = of_run) t
UNION ALL
SELECT 'other_prompts' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM other_prompts WHERE run_id = of_run) t
UNION ALL
SELECT 'generations' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM generations WHERE run_id = of_run) t
UNION ALL
SELECT 'topk_logits' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM topk_logits WHERE run_id = of_run) t
UNION ALL
SELECT 'answers' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM answers WHERE run_id = of_run) t
UNION ALL
SELECT 'baselines' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM baselines WHERE run_id = of_run) t
UNION ALL
SELECT 'activations' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM activations WHERE run_id = of_run) t
UNION ALL
SELECT 'prompt_tokens' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM prompt_tokens WHERE run_id = of_run) t
UNION ALL
SELECT 'token_activations' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM token_activations WHERE run_id = of_run) t
UNION ALL
SELECT 'feature_logits' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM feature_logits WHERE run_id = of_run) t
UNION ALL
SELECT 'output_scores' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM output_scores WHERE run_id = of_run) t
UNION ALL
SELECT 'sae_health' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM sae_health WHERE run_id = of_run) t
UNION ALL
SELECT 'feature_activity' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM feature_activity WHERE run_id = of_run) t
UNION ALL
SELECT 'edit_activity' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM edit_activity WHERE run_id = of_run) t
UNION ALL
SELECT 'attributions' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM attributions WHERE run_id = of_run) t
UNION ALL
SELECT 'attribution_errors' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM attribution_errors WHERE run_id = of_run) t
UNION ALL
SELECT 'interventions' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM interventions WHERE run_id = of_run) t
UNION ALL
SELECT 'matched_features' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM matched_features WHERE run_id = of_run) t
UNION ALL
SELECT 'control_balance' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM control_balance WHERE run_id = of_run) t
UNION ALL
SELECT 'random_features' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM random_features WHERE run_id = of_run) t
UNION ALL
SELECT 'impacts' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM impacts WHERE run_id = of_run) t
UNION ALL
SELECT 'impact_tokens' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM impact_tokens WHERE run_id = of_run) t
UNION ALL
SELECT 'impact_noise' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM impact_noise WHERE run_id = of_run) t
UNION ALL
SELECT 'side_effects' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM side_effects WHERE run_id = of_run) t
UNION ALL
SELECT 'decoys' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM decoys WHERE run_id = of_run) t
UNION ALL
SELECT 'injected_tokens' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM injected_tokens WHERE run_id = of_run) t
UNION ALL
SELECT 'injections' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM injections WHERE run_id = of_run) t
UNION ALL
SELECT 'injection_tests' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM injection_tests WHERE run_id = of_run) t
UNION ALL
SELECT 'crossfit_splits' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM crossfit_splits WHERE run_id = of_run) t
UNION ALL
SELECT 'feature_tests' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM feature_tests WHERE run_id = of_run) t
UNION ALL
SELECT 'ablation_tests' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM ablation_tests WHERE run_id = of_run) t
UNION ALL
SELECT 'selection_stability' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM selection_stability WHERE run_id = of_run) t
UNION ALL
SELECT 'selection_overlap' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM selection_overlap WHERE run_id = of_run) t
UNION ALL
SELECT 'moderators' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) FROM moderators WHERE run_id = of_run) t
UNION ALL
SELECT 'verdicts' AS source, hash(t) AS digest
FROM (SELECT * EXCLUDE (run_id) REPLACE (replace(query, of_run, '') AS query) FROM verdicts WHERE run_id = of_run) t;

-- One line a table of a run: how many rows, and a hash of them all in any order.
CREATE OR REPLACE MACRO fingerprints(of_run) AS TABLE
SELECT source, count(*) AS row_count, sum(digest)::VARCHAR AS digest
FROM row_digests(of_run) GROUP BY source ORDER BY source;

-- Where two runs differ: rows of each table, and how many of them the other run does not have.
CREATE OR REPLACE MACRO differences(run_a, run_b) AS TABLE
SELECT
    source, ((sum(n) + sum(balance)) // 2)::BIGINT AS rows_a,
    ((sum(n) - sum(balance)) // 2)::BIGINT AS rows_b,
    sum(greatest(balance, 0))::BIGINT AS only_a, sum(greatest(-balance, 0))::BIGINT AS only_b
FROM (
    -- Rows with one digest: how many, and how many more of them are a's than b's.
    SELECT source, digest, count(*) AS n, sum(side) AS balance
    FROM (
        SELECT source, digest, 1::TINYINT AS side FROM row_digests(run_a)
        UNION ALL
        SELECT source, digest, -1::TINYINT AS side FROM row_digests(run_b)
    )
    GROUP BY source, digest
)
GROUP BY source
ORDER BY source;
