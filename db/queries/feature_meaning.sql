-- What is known of what each traced feature means: its label, the tokens that it writes by itself, and whether these
-- come out when it is amplified (the output score; near 0, or near its base, the tokens say nothing of its edits).
-- $run = latest: the run
SELECT
    t.layer, t.feature, l.label, s.score AS output_score, s.base, t.up, t.down, t.origin
FROM (
    SELECT
        run_id, layer, feature,
        list(token ORDER BY rank) FILTER (side = 'up') AS up,
        list(token ORDER BY rank) FILTER (side = 'down') AS down,
        any_value(origin) AS origin
    FROM feature_logits WHERE run_id = $run GROUP BY run_id, layer, feature
) t
JOIN runs r USING (run_id)
LEFT JOIN output_scores s USING (run_id, layer, feature)
LEFT JOIN feature_labels l
    ON l.source = r.neuronpedia[list_position(r.layers, t.layer)] AND l.feature = t.feature
ORDER BY output_score DESC NULLS LAST, t.layer, t.feature
