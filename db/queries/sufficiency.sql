-- Is an ablation's set enough, and is each of its features needed? What the set does, what all other features do
-- (`complement`), and what the set does without each feature, as shares of what the variants differ by: of a
-- registered metric there are none.
-- $run = latest: the run
WITH gaps AS (
    SELECT b.run_id, r.metric,
        CASE WHEN r.metric IN (
            'logit_difference', 'log_p_correct', 'log_p_misconception', 'log_mass', 'mass', 'accuracy'
        ) THEN avg(
            measure(r.metric, b.log_p_correct, b.log_p_misconception)
            * CASE b.label WHEN 'correct' THEN 1 ELSE -1 END
        ) * 2 END AS gap
    FROM behaviour b JOIN runs r USING (run_id)
    WHERE b.run_id = $run AND b.split = 'confirmation'
    GROUP BY b.run_id, r.metric
), edits AS (
    SELECT DISTINCT run_id, intervention_id, ablation, role, number, variant FROM interventions
    WHERE run_id = $run AND role IN ('target', 'complement', 'without')
)
SELECT
    e.ablation, e.role, l.layer || ':' || l.feature AS left_out, t.mean_impact, t.ci_low, t.ci_high,
    t.mean_impact / (g.gap * CASE e.variant WHEN 'correct' THEN -1 ELSE 1 END) AS share, t.origin
FROM edits e
JOIN gaps g USING (run_id)
JOIN ablation_tests t USING (run_id, intervention_id)
LEFT JOIN interventions l ON l.run_id = e.run_id AND l.ablation = e.ablation AND l.role = 'target'
    AND e.role = 'without' AND l.rank = e.number
WHERE t.metric = g.metric
    AND e.ablation IN (SELECT ablation FROM edits WHERE role <> 'target')
ORDER BY e.ablation, list_position(['target', 'complement', 'without'], e.role), e.number
